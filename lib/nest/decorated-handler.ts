import type { EventHandler } from '../core/event-map';
import type { HandlerDefinition, SubscribeOptions } from '../core/handler-definition';
import type { Method } from './enhancers/enhanced-handler';
import { resultOf } from './enhancers/interceptors';
import { direct, type HandlerOwner, type HandlerPlace } from './handler-binder';
import type { OnEventMetadata } from './on-event.decorator';

/** A handler that a decorator declares, and where it is: one object for both, since there may be a thousand. */
export class DecoratedHandler implements HandlerPlace, HandlerDefinition {
  /** What enhancers make of the method. Default: nothing, it is called as it is. */
  enhanced: EventHandler | undefined = undefined;

  constructor(
    readonly owner: HandlerOwner,
    readonly methodName: string,
    readonly method: Method,
    readonly name: string,
    readonly token: string,
    private readonly declared: OnEventMetadata,
  ) {}

  get patterns(): readonly string[] {
    return this.declared.patterns;
  }

  get options(): SubscribeOptions {
    return this.declared.options;
  }

  /** Made when it is read, which is at the first event. */
  get handler(): EventHandler {
    return this.enhanced ?? direct(this);
  }

  get resultOf(): typeof resultOf {
    return resultOf;
  }

  /** For messages. */
  get place(): string {
    const { type, module } = this.owner;
    return `${type.name}.${this.methodName} of module ${module.metatype.name}`;
  }
}
