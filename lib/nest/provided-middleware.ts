import type { Type } from '@nestjs/common';
import type { ModuleRef } from '@nestjs/core';
import type { ConsumeContext } from '../core/event-context';
import type { EmitReceipt, EventMiddleware, OutboundEvent } from '../core/middleware';

/** Middleware given as a class: looked up when it is first needed, since it may depend on this module itself. */
export class ProvidedMiddleware implements EventMiddleware {
  #instance: EventMiddleware | Promise<EventMiddleware> | undefined;

  constructor(
    private readonly type: Type<EventMiddleware>,
    private readonly moduleRef: ModuleRef,
  ) {}

  /**
   * @param anew forgets what was found before: while modules are made, Nest can give a provider that is not finished
   * @throws what Nest throws when a dependency is missing
   */
  async resolve(anew = false): Promise<EventMiddleware> {
    if (anew) this.#instance = undefined;
    try {
      return (this.#instance = await (this.#instance ??= this.#find()));
    } catch (error) {
      this.#instance = undefined;
      throw error;
    }
  }

  async publish(event: OutboundEvent, next: () => Promise<EmitReceipt>): Promise<EmitReceipt> {
    const middleware = await this.resolve();
    return middleware.publish === undefined ? next() : middleware.publish(event, next);
  }

  async consume(context: ConsumeContext, next: () => Promise<unknown>): Promise<unknown> {
    const middleware = await this.resolve();
    return middleware.consume === undefined ? next() : middleware.consume(context, next);
  }

  #find(): EventMiddleware | Promise<EventMiddleware> {
    try {
      return this.moduleRef.get(this.type, { strict: false });
    } catch {
      return this.moduleRef.create(this.type); // not provided anywhere: made here, with what it injects
    }
  }
}
