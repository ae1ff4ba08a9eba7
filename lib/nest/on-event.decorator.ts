import { EventsConfigurationError } from '../core/errors';
import type { EventHandler, HandledData, Subscribable } from '../core/event-map';
import type { SubscribeOptions } from '../core/handler-definition';
import { NO_SETTINGS } from '../core/settings';

/** Where the decorator leaves what it was told. */
export const ON_EVENT_METADATA = Symbol.for('@venta/events/on-event');

export interface OnEventOptions extends SubscribeOptions {
  /**
   * `true` for a method whose parameters are all decorated (`@Payload('userId')`, `@Ctx()`): their types are then not
   * compared with the event's.
   */
  decorated?: boolean;
}

/** One `@OnEvent` on a method. */
export interface OnEventMetadata {
  readonly patterns: readonly string[];
  readonly options: OnEventOptions;
}

/** A decorator for methods that can take this data; any other method is a compile error. */
export type EventHandlerDecorator<D> = <H extends EventHandler<D>>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<H>,
) => void;

/**
 * Makes a method of a provider or controller handle events, by name or pattern (`user.*`, `vendor.>`). Can be stacked.
 * What the method throws fails the attempt: the broker delivers the event again as `retry` says, at last it is a dead
 * letter.
 *
 * ```ts
 * @OnEvent('user.created')
 * async welcome(event: UserCreated, context: EventContext) { … }
 * ```
 */
export function OnEvent(
  event: string | readonly string[],
  options: OnEventOptions & { decorated: true },
): MethodDecorator;
export function OnEvent<const P extends string>(
  // The intersection infers the pattern from the argument, and then judges it.
  // eslint-disable-next-line @typescript-eslint/no-duplicate-type-constituents
  event: (P & Subscribable<P>) | readonly (P & Subscribable<P>)[],
  options?: OnEventOptions,
): EventHandlerDecorator<HandledData<P>>;
export function OnEvent(
  event: string | readonly string[],
  options: OnEventOptions = NO_SETTINGS,
): MethodDecorator {
  return (target, key, descriptor) => {
    if (typeof target === 'function' || typeof key === 'symbol') {
      throw new EventsConfigurationError(
        'OnEvent',
        `@OnEvent is on ${typeof target === 'function' ? 'a static method' : 'a method named by a symbol'}, ` +
          `${String(key)}, where Nest does not find it: use a method of the instance with an ordinary name`,
      );
    }
    const method = (descriptor as PropertyDescriptor).value as object;
    const earlier = (Reflect.getOwnMetadata(ON_EVENT_METADATA, method) ?? []) as OnEventMetadata[];
    const added: OnEventMetadata = { patterns: typeof event === 'string' ? [event] : [...event], options };
    // Decorators run from the last to the first; the list reads as the source does.
    Reflect.defineMetadata(ON_EVENT_METADATA, [added, ...earlier], method);
  };
}
