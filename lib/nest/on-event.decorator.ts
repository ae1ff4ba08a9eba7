import { isContract, nameIn, type EventContract } from '../core/contract';
import { EventsConfigurationError } from '../core/errors';
import type {
  ContextToHandle,
  DataToHandle,
  EventContext,
  EventHandler,
  Judged,
  Listenable,
} from '../core/event-map';
import type { SubscribeOptions } from '../core/handler-definition';
import { NO_SETTINGS } from '../core/settings';
import type { Method } from './enhancers/enhanced-handler';
import { declare } from './replaced-methods';

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
  /** Those of the patterns that were given as contracts; absent if none was. */
  readonly contracts?: readonly EventContract[];
}

/** A decorator for methods that can take this data and context; any other method is a compile error. */
export type EventHandlerDecorator<D, C = EventContext> = <H extends EventHandler<D, C>>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<H>,
) => void;

/**
 * Makes a method of a provider or controller handle events, by name, pattern (`user.*`, `vendor.>`) or contract. Can be stacked.
 * What the method throws fails the attempt: the broker delivers the event again as `retry` says, at last it is a dead
 * letter.
 *
 * ```ts
 * @OnEvent('user.created')
 * async welcome(event: UserCreated, context: EventContext) { … }
 * ```
 * @throws EventsConfigurationError on anything but a method of instances with an ordinary name, and under standard (stage 3)
 * decorators
 */
export function OnEvent(
  event: Listenable | readonly Listenable[],
  options: OnEventOptions & { decorated: true },
): MethodDecorator;
export function OnEvent<const E extends Listenable>(
  // The intersection infers the event from the argument, and then judges it.
  event: (E & Judged<E>) | readonly (E & Judged<E>)[],
  options?: OnEventOptions,
): EventHandlerDecorator<DataToHandle<E>, ContextToHandle<E>>;
export function OnEvent(
  event: Listenable | readonly Listenable[],
  options: OnEventOptions = NO_SETTINGS,
): MethodDecorator {
  return (target, key, descriptor) => {
    const method = methodOf(target, key, descriptor);
    const before = declare(target, key as string, method);
    const earlier =
      metadataOf(method) ??
      (before === undefined || before === method ? undefined : metadataOf(before)) ??
      [];
    const events = typeof event === 'string' || isContract(event) ? [event] : [...event];
    const contracts = events.filter(isContract);
    const added: OnEventMetadata = {
      patterns: events.map(nameIn),
      options,
      ...(contracts.length === 0 ? {} : { contracts }),
    };
    // Decorators run from the last to the first; the list reads as the source does.
    Reflect.defineMetadata(ON_EVENT_METADATA, [added, ...earlier], method);
  };
}

const metadataOf = (method: object): OnEventMetadata[] | undefined =>
  Reflect.getOwnMetadata(ON_EVENT_METADATA, method) as OnEventMetadata[] | undefined;

/** @throws EventsConfigurationError if it decorates anything but a method of instances */
function methodOf(target: unknown, key: string | symbol | object | undefined, descriptor: unknown): Method {
  if (typeof key === 'object') {
    const { kind, name: what } = key as { kind: unknown; name?: unknown };
    throw misplaced(
      `@OnEvent on the ${String(kind)} '${String(what)}' runs as a standard decorator (stage 3), which Nest does not ` +
        'support: set `experimentalDecorators: true` in the tsconfig (or the legacy decorators of your compiler)',
    );
  }
  const member = String(key);
  const name = typeof target === 'object' ? `${classNameOf(target)}.${member}` : member;
  if (key === undefined)
    throw misplaced(
      `@OnEvent is on the class ${(target as { name?: string }).name ?? ''}: put it on the method that handles the event`,
    );
  if (typeof target === 'function')
    throw misplaced(
      `@OnEvent is on a static method, ${target.name}.${member}, where Nest does not find it: use a method of the instance`,
    );
  if (typeof key === 'symbol')
    throw misplaced(
      `@OnEvent is on a method named by a symbol, ${name}, where Nest does not find it: use a method of the instance with an ordinary name`,
    );
  if (typeof descriptor !== 'object' || descriptor === null)
    throw misplaced(
      `@OnEvent is on the property ${name}: put it on a method, \`${member}(event) { … }\`, not on a field with a function`,
    );
  const { value } = descriptor as { value?: unknown };
  if (typeof value === 'function') return value as Method;
  throw misplaced(
    'get' in descriptor || 'set' in descriptor
      ? `@OnEvent is on ${name}, which is a getter or setter, or became one by a decorator below it: put @OnEvent on a method, closest to it`
      : `@OnEvent is on ${name}, which is no method: put it on a method, \`${member}(event) { … }\``,
  );
}

const classNameOf = (prototype: object | null): string =>
  (prototype as { constructor?: { name?: string } } | null)?.constructor?.name ?? '';

const misplaced = (message: string): EventsConfigurationError =>
  new EventsConfigurationError('OnEvent', message);
