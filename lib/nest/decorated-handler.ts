import type { EventContract } from '../core/contract';
import type { EventHandler } from '../core/event-map';
import { IDENTITY, type IdentifiedHandler, type SubscribeOptions } from '../core/handler-definition';
import type { Method } from './enhancers/enhanced-handler';
import { resultOf } from './enhancers/interceptors';
import { direct, type HandlerOwner, type HandlerPlace } from './handler-binder';
import type { DeclaredHandler } from './handler-definitions';

/** A handler that a decorator declares, and where it is: one object for both, since there may be a thousand. */
export class DecoratedHandler implements HandlerPlace, IdentifiedHandler {
  readonly [IDENTITY]: string;
  private made: EventHandler | undefined = undefined;

  constructor(
    readonly owner: HandlerOwner,
    readonly methodName: string,
    readonly method: Method,
    readonly name: string,
    identity: string,
    private readonly declared: DeclaredHandler,
  ) {
    this[IDENTITY] = identity;
  }

  get patterns(): readonly string[] {
    return this.declared.patterns;
  }

  get contracts(): readonly EventContract[] | undefined {
    return this.declared.contracts;
  }

  get options(): SubscribeOptions {
    return this.declared.options;
  }

  /** Calls the method, unless it is `handledBy` something; made when it is read, which is at the first event. */
  get handler(): EventHandler {
    return (this.made ??= direct(this));
  }

  get resultOf(): typeof resultOf {
    return resultOf;
  }

  /** @param handler what enhancers make of the method, to be called instead */
  handledBy(handler: EventHandler): this {
    this.made = handler;
    return this;
  }

  /** Where it is, for messages. */
  describe(): string {
    const { type, module } = this.owner;
    const name: unknown = type.name;
    const className = typeof name === 'string' && name !== '' ? name : 'anonymous class';
    return `${className}.${this.methodName} of module ${module.metatype.name}`;
  }
}
