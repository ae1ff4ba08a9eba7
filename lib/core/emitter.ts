import { randomUUID } from 'node:crypto';
import { types } from 'node:util';
import { messageIdOf, toWireHeaders } from './cloudevents';
import type { Clock } from './clock';
import { EventsError } from './errors';
import { ID_RULE, isEventId } from './event-id';
import type { EmittedData, EventName } from './event-map';
import { checkHeaders, checkHeaderSize } from './headers';
import type { JsonCodec } from './json-codec';
import { composePublish, type EmitReceipt, type OutboundEvent, type Stage } from './middleware';
import { sanitize } from './names';
import type { EventTransport } from './transport';

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

export interface EmitterParts {
  /** The service, as written. */
  readonly app: string;
  readonly codec: JsonCodec;
  readonly stages: readonly Stage[];
  readonly transport: EventTransport;
  /** Of the events' times. */
  readonly clock: Clock;
}

/** An event's way out: through the stages, encoded, to the transport. */
export class Emitter {
  readonly #parts: EmitterParts;
  readonly #source: string;
  readonly #publish: (event: OutboundEvent) => Promise<EmitReceipt>;

  constructor(parts: EmitterParts) {
    this.#parts = parts;
    this.#source = sanitize(parts.app);
    this.#publish = composePublish(parts.stages, (event) => this.#send(event));
  }

  /** @param name checked */
  async emit(name: string, data: unknown, options: EmitOptions): Promise<EmitReceipt> {
    return this.#publish({
      id: checkId('id', options.id) ?? randomUUID(),
      name,
      source: this.#source,
      time: checkTime(options.time) ?? new Date(this.#parts.clock.now()),
      data,
      correlationId: checkId('correlationId', options.correlationId),
      causationId: checkId('causationId', options.causationId),
      headers: checkHeaders(options.headers ?? {}),
    });
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
}

function checkTime(time: Date | undefined): Date | undefined {
  if (time === undefined || (types.isDate(time) && !Number.isNaN(time.getTime()))) return time;
  throw new EventsError('invalid_header', 'emit option `time` must be a valid Date');
}

function checkId(option: string, value: string | undefined): string | undefined {
  if (value === undefined || isEventId(value)) return value;
  throw new EventsError('invalid_header', `emit option \`${option}\` must be ${ID_RULE}`);
}
