import { randomUUID } from 'node:crypto';
import { types } from 'node:util';
import { messageIdOf, toWireHeaders } from './cloudevents';
import { CircuitBreaker } from './circuit-breaker';
import { createConsumer, type SubscriptionCounters } from './consumer';
import { DeadLetterService } from './dead-letter-service';
import { EventsError } from './errors';
import type { EmittedData, EventHandler, EventName, HandledData, Subscribable } from './event-map';
import { assertEventName } from './event-name';
import {
  identityOf,
  resolveSubscribeOptions,
  specsOf,
  type HandlerDefinition,
  type SubscribeOptions,
  type SubscriptionDefaults,
} from './handler-definition';
import { checkHeaders, checkHeaderSize } from './headers';
import type { JsonCodec } from './json-codec';
import type { EventsLogger } from './logger';
import {
  composeConsume,
  composePublish,
  type EmitReceipt,
  type OutboundEvent,
  type Stage,
} from './middleware';
import { sanitize } from './names';
import type { EventTransport, TransportSubscription } from './transport';

export interface EmitOptions {
  /** Id of the event; the broker keeps one event per name, source and id. Default: a random UUID. */
  id?: string;
  /** Default: that of the event being handled, else the event's own id. */
  correlationId?: string;
  /** Default: the id of the event being handled. */
  causationId?: string;
  /** Further headers; `Nats-*`, `ce-*` and `Event-*` are reserved. */
  headers?: Readonly<Record<string, string>>;
  /** When it happened. Default: now. */
  time?: Date;
}

/** One event of an `emitMany`; of a name, `EventToEmit<N>['data']` is what `emit` takes. */
export type EventToEmit<N extends EventName = EventName> = {
  [K in N]: { name: K; data: EmittedData<K>; options?: EmitOptions };
}[N];

/** Thrown by `emitMany` when some events were not stored; `results` tells which, in the order given. */
export class EmitManyError extends EventsError {
  readonly results: readonly PromiseSettledResult<EmitReceipt>[];

  constructor(results: readonly PromiseSettledResult<EmitReceipt>[]) {
    const failures = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as unknown] : [],
    );
    const first = failures[0];
    super(
      first instanceof EventsError ? first.code : 'publish_rejected',
      `${failures.length} of ${results.length} events were not stored; the first: ${String(first)}`,
      {
        cause: first,
        retryable: failures.every((failure) => failure instanceof EventsError && failure.retryable),
      },
    );
    this.results = results;
  }
}

/** A handler that is bound. */
export interface EventSubscription {
  /** Identity of the handler. */
  readonly name: string;
  readonly patterns: readonly string[];
  /** Stops delivery to this handler and waits for what runs. The broker keeps a durable's events for when it is back. */
  unsubscribe(): Promise<void>;
}

export interface SubscriptionStatus extends Readonly<SubscriptionCounters> {
  readonly name: string;
  readonly patterns: readonly string[];
}

export interface EventServiceStatus {
  /** `bound`: handlers are subscribed as they come, nothing is delivered yet. */
  readonly state: 'bound' | 'running' | 'draining' | 'closed';
  readonly connected: boolean;
  /** What is wrong at this moment; empty when all is well. */
  readonly problems: readonly string[];
  readonly subscriptions: readonly SubscriptionStatus[];
}

export interface EventServiceParts {
  readonly transport: EventTransport;
  readonly codec: JsonCodec;
  /** In order, first = outermost, for both directions; `decoding` among them. */
  readonly stages: readonly Stage[];
  readonly defaults: SubscriptionDefaults;
  /** Milliseconds `drain` lets running handlers take. */
  readonly shutdownTimeout: number;
  /** How often one dead letter may be sent back to its handler. */
  readonly maxRedrives: number;
  /** Whether handlers are subscribed at all; `false` for programs that only emit. */
  readonly consume: boolean;
  /** @throws EventsError `unknown_event` if no handler may listen to this pattern */
  readonly assertKnown?: (pattern: string, handler: string) => void;
  readonly logger: EventsLogger;
}

interface Bound extends EventSubscription {
  readonly counters: SubscriptionCounters;
  breaker: CircuitBreaker | undefined;
  readonly transports: TransportSubscription[];
}

/** Emits events and subscribes handlers to them. */
export class EventService {
  /** The dead letters of the cluster, and their way back. */
  readonly deadLetters: DeadLetterService;
  readonly #parts: EventServiceParts;
  readonly #source: string;
  readonly #publish: (event: OutboundEvent) => Promise<EmitReceipt>;
  readonly #bound = new Map<string, Bound>();
  #state: EventServiceStatus['state'] = 'bound';
  #drained: Promise<void> | undefined;

  /** Use `createEventService`, which puts the parts together from options. */
  constructor(parts: EventServiceParts) {
    this.#parts = parts;
    this.#source = sanitize(parts.defaults.app);
    const { codec, maxRedrives, transport } = parts;
    this.deadLetters = new DeadLetterService({ store: () => transport.deadLetters, codec, maxRedrives });
    this.#publish = composePublish(parts.stages, (event) => this.#send(event));
  }

  /**
   * Publishes an event. With `durable` delivery, resolved means stored: it will be delivered at least once to every
   * subscribed service, within the limits of the stream.
   * @throws EventsError with the codes of "Emitting" in `docs/errors.md`; nothing is ever dropped without one
   */
  async emit<N extends EventName>(
    name: N,
    data: EmittedData<N>,
    options: EmitOptions = {},
  ): Promise<EmitReceipt> {
    assertEventName(name);
    if (this.#state === 'closed')
      throw new EventsError('closed', `cannot emit '${name}': the event service is closed`);
    return this.#publish({
      id: checkId('id', options.id) ?? randomUUID(),
      name,
      source: this.#source,
      time: checkTime(options.time) ?? new Date(),
      data,
      correlationId: checkId('correlationId', options.correlationId),
      causationId: checkId('causationId', options.causationId),
      headers: checkHeaders(options.headers ?? {}),
    });
  }

  /**
   * Publishes several events at once; resolves to their receipts in the order given when all are stored.
   * @throws EmitManyError when some were not; the others are stored all the same
   */
  async emitMany(events: readonly EventToEmit[]): Promise<EmitReceipt[]> {
    const results = await Promise.allSettled(
      events.map(({ name, data, options }) => this.emit(name, data, options)),
    );
    if (results.some((result) => result.status === 'rejected')) throw new EmitManyError(results);
    return results.map((result) => (result as PromiseFulfilledResult<EmitReceipt>).value);
  }

  /**
   * Calls `handler` for every event of this name, or matching this pattern (`user.*`, `vendor.>`). The subscription's
   * identity is `options.name`, by default the pattern: the same one must not be used twice in a service.
   * Resolves when the broker knows the subscription. Before the application has started, delivery waits for it.
   */
  async subscribe<const P extends string>(
    // The intersection infers the pattern from the argument, and then judges it. A name that is a type parameter cannot be
    // judged yet; that it is a name is enough.
    // eslint-disable-next-line @typescript-eslint/no-duplicate-type-constituents
    pattern: (P & Subscribable<P>) | (P & EventName),
    handler: EventHandler<HandledData<P>>,
    options: SubscribeOptions = {},
  ): Promise<EventSubscription> {
    return this.bind({
      name: options.name ?? pattern,
      patterns: [pattern],
      handler: handler as EventHandler,
      options,
    });
  }

  /** Subscribes a handler of several names or patterns: what `@OnEvent` and `subscribe` come down to. */
  async bind(definition: HandlerDefinition): Promise<EventSubscription> {
    const { defaults, transport, consume, logger } = this.#parts;
    const { name, patterns } = definition;
    if (this.#stopping) {
      throw new EventsError('closed', `cannot subscribe '${name}': the event service is ${this.#state}`);
    }
    const options = resolveSubscribeOptions(definition, defaults);
    const specs = specsOf(definition, defaults.app, options);
    for (const pattern of patterns) this.#parts.assertKnown?.(pattern, name);

    const identity = identityOf(name);
    const other = this.#bound.get(identity);
    if (other !== undefined) {
      throw new EventsError(
        'duplicate_handler',
        `two handlers have the identity '${identity}': '${other.name}' (${other.patterns.join(', ')}) and ` +
          `'${name}' (${patterns.join(', ')}); give one of them another \`name\``,
      );
    }
    const counters = { running: 0, succeeded: 0, retried: 0, deadLettered: 0 };
    const transports: TransportSubscription[] = [];
    const bound: Bound = {
      name,
      patterns,
      counters,
      breaker: undefined,
      transports,
      unsubscribe: () => this.#unsubscribe(identity, bound),
    };
    this.#bound.set(identity, bound);
    if (!consume) return bound;

    if (options.circuitBreaker !== undefined) {
      const limit = (concurrency: number): void => transports.forEach((each) => each.limit(concurrency));
      bound.breaker = new CircuitBreaker(options.circuitBreaker, name, limit, logger);
    }
    const consumer = createConsumer({
      name,
      retry: options.retry,
      timeout: options.timeout,
      pipeline: composeConsume(this.#parts.stages, async (event) => definition.handler(event.data, event)),
      counters,
      breaker: bound.breaker,
      logger,
    });
    const results = await Promise.allSettled(specs.map((spec) => transport.subscribe(spec, consumer)));
    for (const result of results) if (result.status === 'fulfilled') transports.push(result.value);
    const failed = results.find((result) => result.status === 'rejected');
    // A drain or an unsubscribe may have come in between; then nobody else would stop these.
    if (failed !== undefined || this.#bound.get(identity) !== bound || this.#stopping) {
      this.#bound.delete(identity);
      bound.breaker?.stop();
      await Promise.all(transports.map((transport) => transport.stop(0)));
      if (failed !== undefined) throw failed.reason;
      throw new EventsError('closed', `'${name}' was unsubscribed while it was being subscribed`);
    }
    if (this.#state === 'running') for (const transport of transports) transport.start();
    return bound;
  }

  /** Begins delivery to all handlers, bound already or later. Nest calls it when the application has started. */
  start(): void {
    if (this.#state !== 'bound') return;
    this.#state = 'running';
    for (const { transports } of this.#bound.values()) for (const transport of transports) transport.start();
  }

  /**
   * Shuts down without losing work: stops taking events, hands buffered ones back, lets running handlers finish (their
   * emits still work), then disconnects. Bounded by `shutdownTimeout`; what still runs then is handed back.
   */
  drain(): Promise<void> {
    return (this.#drained ??= this.#drain());
  }

  get status(): EventServiceStatus {
    const { connected, problems } = this.#parts.transport.status();
    return {
      state: this.#state,
      connected: connected && this.#state !== 'closed',
      problems: [
        ...problems,
        ...[...this.#bound.values()]
          .filter(({ breaker }) => breaker?.closed === false)
          .map(({ name }) => `the circuit of '${name}' is open: all its events fail`),
      ],
      subscriptions: [...this.#bound.values()].map(({ name, patterns, counters }) => ({
        name,
        patterns,
        ...counters,
      })),
    };
  }

  get #stopping(): boolean {
    return this.#state === 'draining' || this.#state === 'closed';
  }

  async #send(event: OutboundEvent): Promise<EmitReceipt> {
    // Middleware may have added headers, and what reaches the wire must hold for them too.
    const headers = checkHeaders(event.headers);
    checkId('correlationId', event.correlationId);
    checkId('causationId', event.causationId);
    const encoded = this.#parts.codec.encode(event.data);
    const wire = toWireHeaders({ ...event, headers }, encoded);
    const messageId = messageIdOf(event);
    checkHeaderSize({ ...wire, 'Nats-Msg-Id': messageId });
    const receipt = await this.#parts.transport.publish({
      name: event.name,
      messageId,
      headers: wire,
      body: encoded.body,
    });
    return { id: event.id, ...receipt };
  }

  /**
   * Warns of durables of this service that no handler claims: one that was renamed or removed leaves its durable behind,
   * with events that nobody takes. To be called when all handlers are subscribed; Nest's module does. Never rejects.
   */
  async reportOrphans(): Promise<void> {
    const { transport, consume, logger } = this.#parts;
    if (!consume) return;
    try {
      for (const { durable, stream, handler, backlog } of (await transport.orphans?.()) ?? []) {
        logger.warn(
          `durable '${durable}' of this service has no handler '${handler}' any more, ${backlog} events wait for it: ` +
            `give the handler its \`name\` back, or remove it with \`nats consumer rm ${stream} ${durable}\``,
        );
      }
    } catch (error) {
      logger.warn(`could not look for durables without a handler: ${(error as Error).message}`);
    }
  }

  async #unsubscribe(identity: string, bound: Bound): Promise<void> {
    // Ended before; the identity may be another subscription's by now.
    if (this.#bound.get(identity) !== bound) return;
    bound.breaker?.stop();
    await Promise.all(bound.transports.map((transport) => transport.stop(this.#parts.shutdownTimeout)));
    // Only now may the identity be used again: two subscriptions of one identity would share its events.
    if (this.#bound.get(identity) === bound) this.#bound.delete(identity);
  }

  async #drain(): Promise<void> {
    const { transport, shutdownTimeout, logger } = this.#parts;
    this.#state = 'draining';
    for (const { breaker } of this.#bound.values()) breaker?.stop();
    const subscriptions = [...this.#bound.values()].flatMap(({ transports }) => transports);
    const results = await Promise.allSettled(
      subscriptions.map((subscription) => subscription.stop(shutdownTimeout)),
    );
    for (const result of results) {
      if (result.status === 'rejected')
        logger.error(`a subscription did not stop cleanly: ${String(result.reason)}`);
    }
    this.#state = 'closed';
    await transport.close();
  }
}

function checkTime(time: Date | undefined): Date | undefined {
  if (time === undefined || (types.isDate(time) && !Number.isNaN(time.getTime()))) return time;
  throw new EventsError('invalid_header', 'emit option `time` must be a valid Date');
}

function checkId(option: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value.length > 0 && value.length <= 256 && !/\p{Cc}/u.test(value))
    return value;
  throw new EventsError(
    'invalid_header',
    `emit option \`${option}\` must be a string of 1 to 256 characters, without control characters`,
  );
}
