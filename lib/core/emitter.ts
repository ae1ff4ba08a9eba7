import { types } from 'node:util';
import { encodeAttribute } from './cloudevents';
import { EmitBatch } from './emit-batch';
import type { EmitGate } from './emit-gate';
import type { Clock } from './clock';
import type { EventContract } from './contract';
import { EventsConfigurationError, EventsError } from './errors';
import { ID_RULE, isEventId, newEventId } from './event-id';
import type { EmittedData, EventName } from './event-map';
import { assertEventName } from './event-name';
import { EventMessage } from './event-message';
import { checkHeaders, emptyHeaders } from './headers';
import { formatIsoTime } from './iso-time';
import type { JsonCodec } from './json-codec';
import { composePublish, type EmitReceipt, type OutboundEvent, type Stage } from './middleware';
import { sanitize } from './names';
import { isObject, isPlainObject, unknownOption, wrong } from './settings';
import { promiseOf } from './promises';
import { textOf } from './thrown';
import type { EventTransport, PublishReceipt } from './transport';

export interface EmitOptions {
  /** Id of the event; the broker keeps one event per name, source and id. Default: a random UUID. */
  id?: string;
  /**
   * Default: that of the event being handled; outside of handlers what the option `correlationId` gives, then what the
   * request or message came with; else the event's own id.
   */
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

/** As `EventToEmit`, by the contract of the event. */
export type ContractToEmit<N extends EventName = EventName> = {
  [K in N]: { name: EventContract<K>; data: EmittedData<K>; options?: EmitOptions };
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
      `${failures.length} of ${results.length} events were not stored; the first: ${textOf(first)}`,
      {
        cause: first,
        retryable: failures.every((failure) => failure instanceof EventsError && failure.retryable),
      },
    );
    this.results = results;
  }
}

/** One event of an `emitMany`. @throws EventsConfigurationError if it is none */
export function eventAt(
  events: readonly (EventToEmit | ContractToEmit)[],
  place: number,
): EventToEmit | ContractToEmit {
  const event: unknown = events[place];
  if (typeof event === 'object' && event !== null) return event as EventToEmit;
  throw new EventsConfigurationError(
    `events[${place}]`,
    `emitMany takes events of the form { name, data, options? }; at place ${place} there is ${event === null ? 'null' : typeof event}`,
  );
}

/** How `emitMany` emits. */
export interface EmitManyOptions {
  /** Events on their way at once. Default: 256. */
  window?: number;
  /**
   * All of them are stored, or none: at most 1000, `durable`, on nats-server 2.12 or newer with a stream that allows it
   * (those that this package creates do). Default: `false`.
   */
  atomic?: boolean;
}

export interface EmitterParts {
  /** The service, as written. */
  readonly app: string;
  readonly codec: JsonCodec;
  readonly stages: readonly Stage[];
  readonly transport: EventTransport;
  /** Of the events' times. */
  readonly clock: Clock;
  readonly gate: EmitGate;
  /** Milliseconds in which an emit is to be confirmed. */
  readonly publishTimeout: number;
}

/** Given where there are none: nothing is to be checked. */
export const NO_OPTIONS: EmitOptions = Object.freeze({});

const EMIT_OPTIONS = { id: 1, correlationId: 1, causationId: 1, headers: 1, time: 1 } satisfies Record<
  keyof EmitOptions,
  1
>;

/** The values of ids and time are checked where they are used. @throws EventsConfigurationError */
function assertOptions(options: EmitOptions): void {
  if (!isObject(options)) throw wrong('emit options', 'an object', options);
  for (const key in options) {
    if (!Object.hasOwn(EMIT_OPTIONS, key)) throw unknownOption('emit', key, Object.keys(EMIT_OPTIONS));
  }
  const { headers } = options;
  // A Map or Headers would count as an object without any.
  if (headers !== undefined && !isPlainObject(headers))
    throw wrong('emit.headers', 'a plain object of texts by key', headers);
}

type Deliver = (message: EventMessage) => Promise<PublishReceipt>;

/** An event's way out: through the stages, encoded, to the transport. */
export class Emitter {
  readonly #parts: EmitterParts;
  readonly #source: string;
  readonly #encodedSource: string;
  readonly #publish: (event: OutboundEvent) => Promise<EmitReceipt>;
  /** Of events that do not go to the transport on their own. */
  readonly #ways = new WeakMap<OutboundEvent, Deliver>();
  /** Emits that the gate does not count yet: a stage holds them up, or they wait for others. */
  readonly #underWay = new Set<Promise<unknown>>();
  #lastSent: string | undefined;

  constructor(parts: EmitterParts) {
    this.#parts = parts;
    this.#source = sanitize(parts.app);
    this.#encodedSource = encodeAttribute(this.#source);
    this.#publish = composePublish(parts.stages, (event) => this.#send(event));
  }

  /**
   * @param name checked
   * @throws at once, what is wrong with the options; else rejects
   */
  emit(name: string, data: unknown, options: EmitOptions): Promise<EmitReceipt> {
    const event = this.#outbound(name, data, options);
    const receipt = this.#publish(event);
    // Most reach the gate at once, which counts them.
    if (this.#lastSent !== event.id) void this.track(receipt);
    this.#lastSent = undefined;
    return receipt;
  }

  /** Resolves when no emit is under way. Each ends within `publishTimeout`, unless middleware or a custom transport holds it. */
  async settled(): Promise<void> {
    for (;;) {
      if (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
      const idle = this.#parts.gate.idle();
      if (idle === undefined && this.#underWay.size === 0) return;
      await idle;
    }
  }

  /**
   * Emits events that are stored together or not at all; the outcomes are in their order.
   * @param nameOf the name of an event that was given by its name or contract, unchecked
   */
  emitTogether(
    events: readonly (EventToEmit | ContractToEmit)[],
    nameOf: (event: unknown) => unknown,
  ): Promise<PromiseSettledResult<EmitReceipt>[]> {
    const { gate, transport, publishTimeout } = this.#parts;
    const batch = new EmitBatch(events.length, publishTimeout, async (messages) => {
      if (transport.publishAtomic === undefined) {
        throw new EventsError('batch_unsupported', 'this transport has no batches that are stored together');
      }
      const size = messages.reduce((sum, { body }) => sum + body.length, 0);
      await gate.enter(size);
      try {
        return await transport.publishAtomic(messages);
      } finally {
        gate.leave(size);
      }
    });
    const all = Promise.allSettled(
      // `map` would pass over the holes of an array, and the batch would wait for them.
      Array.from(events, async (_, place) => {
        try {
          const each = eventAt(events, place);
          const { options = NO_OPTIONS } = each;
          const name = nameOf(each.name);
          assertEventName(name);
          const event = this.#outbound(name, each.data, options);
          this.#ways.set(event, (message) => batch.add(place, message));
          const receipt = await this.#publish(event);
          batch.ended(place);
          return receipt;
        } catch (error) {
          batch.ended(place, error);
          throw error;
        }
      }),
    );
    return this.track(all);
  }

  /** Makes `settled` wait for it. */
  track<T>(emit: Promise<T>): Promise<T> {
    this.#underWay.add(emit);
    const ended = (): void => void this.#underWay.delete(emit);
    emit.then(ended, ended);
    return emit;
  }

  #outbound(name: string, data: unknown, options: EmitOptions): OutboundEvent {
    if (options !== NO_OPTIONS) assertOptions(options);
    return {
      id: checkId('id', options.id) ?? newEventId(),
      name,
      source: this.#source,
      time: checkTime(options.time) ?? new Date(this.#parts.clock.now()),
      data,
      correlationId: checkId('correlationId', options.correlationId),
      causationId: checkId('causationId', options.causationId),
      headers: options.headers === undefined ? emptyHeaders() : checkHeaders(options.headers),
    };
  }

  /** Without `await`: each costs every emit a promise. */
  #send(event: OutboundEvent): Promise<EmitReceipt> {
    this.#lastSent = event.id;
    const { gate, publishTimeout } = this.#parts;
    const message = this.#encode(event);
    const way = this.#ways.get(event);
    if (way !== undefined) return way(message).then((receipt) => receiptOf(event.id, receipt));
    const size = message.bodyLength;
    const turn = gate.enter(size);
    if (turn === undefined) return this.#deliver(event.id, size, message);
    const since = performance.now();
    return turn.then(() => {
      message.timeLeft = Math.round(publishTimeout - (performance.now() - since));
      return this.#deliver(event.id, size, message);
    });
  }

  #deliver(id: string, size: number, message: EventMessage): Promise<EmitReceipt> {
    const { gate, transport } = this.#parts;
    // A transport of a user's may throw: its turn would never be given back, and in the end nothing could be emitted.
    return promiseOf(() => transport.publish(message)).then(
      (receipt) => {
        gate.leave(size);
        return receiptOf(id, receipt);
      },
      (error: unknown) => {
        gate.leave(size);
        throw error;
      },
    );
  }

  #encode(event: OutboundEvent): EventMessage {
    // Middleware may have added headers or changed ids, some in JavaScript even the name: what reaches the wire must hold
    // for them too.
    assertEventName(event.name);
    const headers = isEmpty(event.headers) ? undefined : checkHeaders(event.headers);
    if (event.correlationId !== event.id) checkId('correlationId', event.correlationId);
    checkId('causationId', event.causationId);
    const encoded = this.#parts.codec.encode(event.data);
    const time = types.isDate(event.time) ? formatIsoTime(event.time) : undefined;
    if (time === undefined) throw invalidTime('`time` of the event');
    return new EventMessage(event, this.#encodedSource, headers, encoded, time);
  }
}

const receiptOf = (id: string, { duplicate, stream, sequence }: PublishReceipt): EmitReceipt =>
  stream === undefined ? { id, duplicate } : { id, duplicate, stream, sequence };

function isEmpty(headers: Readonly<Record<string, string>>): boolean {
  for (const _ in headers) return false;
  return true;
}

function checkTime(time: Date | undefined): Date | undefined {
  if (time === undefined || (types.isDate(time) && !Number.isNaN(time.getTime()))) return time;
  throw invalidTime('emit option `time`');
}

const invalidTime = (what: string): EventsError =>
  new EventsError('invalid_header', `${what} must be a valid Date`);

function checkId(option: string, value: string | undefined): string | undefined {
  if (value === undefined || isEventId(value)) return value;
  throw new EventsError('invalid_header', `emit option \`${option}\` must be ${ID_RULE}`);
}
