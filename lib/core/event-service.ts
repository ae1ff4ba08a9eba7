import { systemClock } from './clock';
import { DeadLetterService } from './dead-letter-service';
import { flag, integer } from './checks';
import { EmitGate, type EmitLimits } from './emit-gate';
import {
  EmitManyError,
  Emitter,
  NO_OPTIONS,
  eventAt,
  type ContractToEmit,
  type EmitManyOptions,
  type EmitOptions,
  type EventToEmit,
} from './emitter';
import { EventsConfigurationError, EventsError } from './errors';
import { isContract, nameIn, type EventContract } from './contract';
import type {
  ContextToHandle,
  DataToEmit,
  DataToHandle,
  EventHandler,
  EventName,
  Judged,
  Listenable,
} from './event-map';
import { assertEventName, quote } from './event-name';
import type { HandlerDefinition, SubscribeOptions } from './handler-definition';
import type { JsonCodec } from './json-codec';
import type { EmitReceipt } from './middleware';
import { printable } from './printable';
import { endsWithin, type Failed, type MaybePromise } from './promises';
import { OrphanWatch } from './orphan-watch';
import { readSettings, valuesOf, type Check } from './settings';
import {
  Subscriptions,
  type EventSubscription,
  type SubscriptionsParts,
  type SubscriptionStatus,
} from './subscriptions';

export interface EventServiceStatus {
  /**
   * `bound`: handlers are subscribed as they come, nothing is delivered yet. `draining`: consuming ends or has ended,
   * `emit` works. `closed`: `emit` rejects.
   */
  readonly state: 'bound' | 'running' | 'draining' | 'closed';
  readonly connected: boolean;
  /** What is wrong at this moment; empty when all is well. */
  readonly problems: readonly string[];
  readonly subscriptions: readonly SubscriptionStatus[];
}

export interface EventServiceParts extends SubscriptionsParts {
  readonly codec: JsonCodec;
  /** How often one dead letter may be sent back to its handler. */
  readonly maxRedrives: number;
  /** How much may be on its way to the broker at once. */
  readonly pendingEmits: EmitLimits;
  /** Milliseconds that an emit waits for its turn. */
  readonly publishTimeout: number;
  /** Called once, when the transport is closed. Default: nothing is. */
  readonly onClosed?: () => void;
}

const EMIT_MANY_CHECKS = {
  window: integer(1, 100_000),
  atomic: flag,
} satisfies Record<keyof EmitManyOptions, Check<unknown>>;

function resolveEmitManyOptions(given: EmitManyOptions): Required<EmitManyOptions> {
  const { window = 256, atomic = false } = valuesOf(readSettings('emitMany', given, {}, EMIT_MANY_CHECKS));
  return { window, atomic };
}

/** @throws EventsConfigurationError */
function listOf(events: Iterable<EventToEmit | ContractToEmit>): readonly (EventToEmit | ContractToEmit)[] {
  const given: unknown = events;
  const isIterable =
    typeof given === 'object' &&
    given !== null &&
    typeof (given as Partial<typeof events>)[Symbol.iterator] === 'function';
  if (!isIterable) {
    const what = given === null ? 'null' : typeof given;
    throw new EventsConfigurationError(
      'events',
      `emitMany takes an array of events, or another iterable of { name, data, options? }; got ${what}`,
    );
  }
  return Array.from(events);
}

/** Emits events and subscribes handlers to them. */
export class EventService {
  /** The dead letters of the cluster, and their way back. */
  readonly deadLetters: DeadLetterService;
  readonly #parts: EventServiceParts;
  readonly #emitter: Emitter;
  readonly #subscriptions: Subscriptions;
  readonly #orphans: OrphanWatch;
  #state: EventServiceStatus['state'] = 'bound';
  #consumingStopped: Promise<void> | undefined;
  #drained: Promise<void> | undefined;

  /** Use `createEventService`, which puts the parts together from options. */
  constructor(parts: EventServiceParts) {
    this.#parts = parts;
    const { codec, maxRedrives, transport, defaults, observers = [], clock = systemClock } = parts;
    const stages = [...observers, ...parts.stages];
    const gate = new EmitGate(parts.pendingEmits, parts.publishTimeout);
    this.#emitter = new Emitter({
      app: defaults.app,
      codec,
      stages,
      transport,
      clock,
      gate,
      publishTimeout: parts.publishTimeout,
    });
    this.#subscriptions = new Subscriptions(parts);
    this.#orphans = new OrphanWatch({
      find: async () => (await transport.orphans?.()) ?? [],
      handlers: () => new Set(this.#subscriptions.status.map(({ name }) => name)),
      logger: parts.logger,
    });
    this.deadLetters = new DeadLetterService({ store: () => transport.deadLetters, codec, maxRedrives });
  }

  /**
   * Publishes an event, by its name or contract. With `durable` delivery, resolved means stored: it will be delivered at least once to every
   * subscribed service, within the limits of the stream.
   * @throws EventsError with the codes of "Emitting" in `docs/errors.md`; nothing is ever dropped without one
   */
  emit<N extends EventName, S = unknown>(
    event: N | EventContract<N, S>,
    data: DataToEmit<N, S>,
    options: EmitOptions = NO_OPTIONS,
  ): Promise<EmitReceipt> {
    // Not `async`: the emitter's promise is the emit's, without another one around it.
    try {
      const name: unknown = typeof event === 'string' ? event : this.#nameOf(event);
      assertEventName(name);
      if (this.#state === 'closed')
        throw new EventsError('closed', `cannot emit '${name}': the event service is closed`);
      return this.#emitter.emit(name, data, options);
    } catch (error) {
      // What was thrown is passed on as it is, Error or not.
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      return Promise.reject(error);
    }
  }

  /**
   * Publishes several events, started in the order given, some of them on their way at once; resolves to their receipts
   * in that order when all are stored.
   * @param given an array or another iterable, which is read to its end first
   * @throws EmitManyError when some were not; the others are stored all the same, unless they are `atomic`
   */
  async emitMany(
    given: Iterable<EventToEmit | ContractToEmit>,
    options: EmitManyOptions = {},
  ): Promise<EmitReceipt[]> {
    const { window, atomic } = resolveEmitManyOptions(options);
    const events = listOf(given);
    if (this.#state === 'closed') throw new EventsError('closed', 'cannot emit: the event service is closed');
    const results = atomic
      ? await this.#emitter.emitTogether(events, (event) => this.#nameOf(event))
      : await this.#emitter.track(
          this.#emitWindowed(events, Math.min(window, this.#parts.pendingEmits.inFlight)),
        );
    if (results.some((result) => result.status === 'rejected')) throw new EmitManyError(results);
    return results.map((result) => (result as PromiseFulfilledResult<EmitReceipt>).value);
  }

  /** In so many lanes, each of which takes the next event when its last one has been confirmed or has failed. */
  async #emitWindowed(
    events: readonly (EventToEmit | ContractToEmit)[],
    window: number,
  ): Promise<PromiseSettledResult<EmitReceipt>[]> {
    const results: PromiseSettledResult<EmitReceipt>[] = [];
    // Also those whose turn comes while the service drains: what has begun is not left half done.
    const emit = ({
      name: event,
      data,
      options = {},
    }: EventToEmit | ContractToEmit): Promise<EmitReceipt> => {
      const name = this.#nameOf(event);
      assertEventName(name);
      return this.#emitter.emit(name, data, options);
    };
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < events.length) {
        const place = next++;
        try {
          results[place] = { status: 'fulfilled', value: await emit(eventAt(events, place)) };
        } catch (reason) {
          results[place] = { status: 'rejected', reason };
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(window, events.length) }, lane));
    return results;
  }

  /**
   * Calls `handler` for every event of this name or contract, or matching this pattern (`user.*`, `vendor.>`). The subscription's
   * identity is `options.name`, by default the pattern: the same one must not be used twice in a service.
   * Resolves when the broker knows the subscription. Before the application has started, delivery waits for it.
   * @throws EventsError `invalid_configuration` without a handler; with the codes of a start-up in `docs/errors.md`
   */
  async subscribe<const E extends Listenable>(
    // The intersection infers the pattern from the argument, and then judges it. A name that is a type parameter cannot be
    // judged yet; that it is a name is enough.
    event: (E & Judged<E>) | (E & EventName),
    handler: EventHandler<DataToHandle<E>, ContextToHandle<E>>,
    options: SubscribeOptions = {},
  ): Promise<EventSubscription> {
    const pattern = nameIn(event);
    if (typeof handler !== 'function') {
      throw new EventsError(
        'invalid_configuration',
        `cannot subscribe ${quote(pattern)}: its handler is ${kindOf(handler)}, and a function is needed, ` +
          'as in subscribe(pattern, (event, context) => …)',
      );
    }
    return this.bind({
      name: options.name ?? pattern,
      patterns: [pattern],
      handler: handler as EventHandler,
      options,
      ...(isContract(event) ? { contracts: [event] } : {}),
    });
  }

  /** Subscribes a handler of several names or patterns: what `@OnEvent` and `subscribe` come down to. */
  bind(definition: HandlerDefinition): Promise<EventSubscription> {
    return this.#subscriptions.bind(definition);
  }

  /**
   * As `bind`, of many handlers at once: how those of an application are subscribed. What needs no waiting has no promise.
   * @param definitionOf called once for each; what it throws or rejects with is the reason why that one is not bound
   * @returns those that could not be bound, in their order, with the reason; never rejects
   */
  bindAll<T>(
    handlers: readonly T[],
    definitionOf: (handler: T) => MaybePromise<HandlerDefinition>,
  ): Promise<Failed<T>[]> {
    return this.#subscriptions.bindAll(handlers, definitionOf);
  }

  /** Begins delivery to all handlers, bound already or later. Nest calls it when the application has started. */
  start(): void {
    if (this.#state !== 'bound') return;
    this.#state = 'running';
    this.#subscriptions.start();
  }

  /**
   * The first phase of a shutdown: stops taking events, hands buffered ones back, lets running handlers finish. `emit`
   * works until `drain`. Bounded by `shutdownTimeout`; what still runs then is handed back. Nest's module calls it before
   * anybody else's `onModuleDestroy`. Can be called again. Not to be awaited in a handler: it waits for that handler.
   */
  stopConsuming(): Promise<void> {
    return (this.#consumingStopped ??= this.#stopConsuming());
  }

  /**
   * Shuts down without losing work: first `stopConsuming`; then `emit` rejects with `closed`, what is being emitted is
   * confirmed or rejected, and the connection closes. Bounded by `shutdownTimeout` and then `publishTimeout`, and some
   * seconds where the server does not answer. Nest's module calls it after everybody else's `onApplicationShutdown`. Not to
   * be awaited in a handler: it waits for that handler.
   */
  drain(): Promise<void> {
    return (this.#drained ??= this.#drain());
  }

  get status(): EventServiceStatus {
    const { connected, problems } = this.#parts.transport.status();
    return {
      state: this.#state,
      connected: connected && this.#state !== 'closed',
      problems: [...problems, ...this.#subscriptions.problems, ...this.#orphans.problems].map((problem) =>
        printable(problem),
      ),
      subscriptions: this.#subscriptions.status,
    };
  }

  /**
   * Warns of durables of this service that no handler claims: one that was renamed or removed leaves its durable behind,
   * with events that nobody takes. Looks again every few minutes; what is found is in `status.problems`. To be called when all
   * handlers are subscribed; Nest's module does. Never rejects.
   */
  async reportOrphans(): Promise<void> {
    if (this.#parts.consume) await this.#orphans.begin();
  }

  /** @throws EventsError `unknown_event` under `strict`, of a contract that is not registered */
  #nameOf(event: unknown): unknown {
    if (!isContract(event)) return event;
    this.#parts.useContract?.(event);
    return event.name;
  }

  async #stopConsuming(): Promise<void> {
    this.#state = 'draining';
    this.#orphans.stop();
    await this.#subscriptions.stopAll();
  }

  async #drain(): Promise<void> {
    const { transport, publishTimeout, onClosed } = this.#parts;
    await this.stopConsuming();
    this.#state = 'closed';
    await endsWithin(publishTimeout, this.#emitter.settled());
    try {
      await transport.close();
    } finally {
      onClosed?.();
    }
  }
}

const kindOf = (value: unknown): string =>
  value === null ? 'null' : value === undefined ? 'missing' : `of type ${typeof value}`;
