import type { MiddlewareConsumer } from '@nestjs/common';
import type { EventService } from '../core/event-service';
import { endsWithin } from '../core/promises';
import type { Assembly } from './assembly';
import type { LastHook } from './closing.module';
import { EVERY_ROUTE, httpOrigin } from './edge/http-origin';
import { InFlightMessages } from './edge/in-flight-messages';
import { followRpcTargets } from './edge/rpc-origin';
import type { EventBinder } from './event-binder';
import { ProvidedMiddleware } from './provided-middleware';

/** Starts and stops the events of one application. */
export class Lifecycle {
  readonly #assembly: Assembly;
  /** Of a test's own service there may be any part. */
  readonly #service: Partial<EventService>;
  readonly #binder: EventBinder;
  readonly #messages = new InFlightMessages();
  readonly #rpcTargets: { unsubscribe(): void } | undefined;

  constructor(assembly: Assembly, service: EventService, lastHook: LastHook) {
    this.#assembly = assembly;
    this.#service = service;
    this.#binder = assembly.binder(service);
    // Also where a test provides the strategy: those of `connectMicroservice` need it.
    assembly.strategyBinder(service);
    this.#rpcTargets = followRpcTargets(assembly.application.modules, assembly.correlation, this.#messages);
    lastHook.add(() => this.#close());
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(httpOrigin(this.#assembly.correlation)).forRoutes(EVERY_ROUTE);
  }

  async start(): Promise<void> {
    const service = this.#service;
    try {
      for (const each of this.#assembly.middleware)
        if (each instanceof ProvidedMiddleware) await each.resolve(true);
      await this.#binder.start();
      service.start?.();
      void service.reportOrphans?.();
    } catch (error) {
      // The application does not start, and nobody may ever close it: leave no connection behind.
      await service.drain?.();
      throw error;
    }
  }

  async stopConsuming(): Promise<void> {
    this.#rpcTargets?.unsubscribe();
    await this.#service.stopConsuming?.();
  }

  async #close(): Promise<void> {
    await endsWithin(this.#assembly.shutdownTimeout, this.#messages.idle());
    await this.#service.drain?.();
  }
}
