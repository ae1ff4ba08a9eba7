import { CE } from './cloudevents';
import { redrivesOf } from './dead-letter';
import type { StoredDeadLetter } from './dead-letter-store';
import { decodeData } from './decoding';
import { placeId, receivedId } from './event-id';
import { emptyHeaders, isReserved, type EventHeaders } from './headers';
import type { JsonCodec } from './json-codec';
import type { DeadLetterReason } from './settlement';
import { isStructured, readStructured } from './structured-event';

/** An event that a handler could not handle, with what went wrong. */
export interface DeadLetter {
  readonly id: string;
  /** Name of the event, its id and its correlation id. */
  readonly event: string;
  readonly eventId: string;
  readonly correlationId: string;
  /** The service and the handler that failed, and the durable that stands for them. */
  readonly app: string;
  readonly subscription: string;
  readonly durable: string;
  readonly reason: DeadLetterReason;
  readonly error: { readonly type: string; readonly message: string };
  /** Deliveries, of the last redrive if there was one. */
  readonly attempts: number;
  readonly firstFailedAt: Date;
  readonly lastFailedAt: Date;
  /** How often it was sent back to its handler. */
  readonly redrives: number;
  /** Where the event is, or was, in the event stream. */
  readonly origin: {
    readonly stream: string;
    readonly sequence: number;
    readonly subject: string;
    readonly time: Date;
  };
  /** The headers given to `emit`. */
  readonly headers: EventHeaders;
  /** The event's bytes, unchanged. */
  readonly body: Uint8Array;
  /** @throws EventsError `undecodable` if the bytes are not what an event looks like */
  data(): unknown;
  /** For `JSON.stringify`: all fields; `data` if the bytes can be read, else the bytes as `bodyBase64`. */
  toJSON(): Record<string, unknown>;
}

/** What the headers of a dead letter say; what a foreign sender left out is empty. */
export function deadLetterOf({ id, headers, body }: StoredDeadLetter, codec: JsonCodec): DeadLetter {
  // A body may have been left behind.
  const isReadable = body.length > 0 && isStructured(headers['content-type']);
  const attributes = isReadable ? readStructured(headers, body).headers : headers;
  const text = (key: string): string => headers[key] ?? '';
  const time = (key: string): Date => new Date(text(key));
  const own = emptyHeaders();
  for (const [key, value] of Object.entries(headers)) if (!isReserved(key)) own[key] = value;
  const subject = text('Event-Origin-Subject');
  const stream = text('Event-Origin-Stream');
  const eventId =
    receivedId(attributes[CE.id]) ??
    placeId(stream, count(headers['Event-Origin-Sequence']), time('Event-Origin-Time').getTime());
  const letter = {
    id,
    event: subject.startsWith(`${stream}.`) ? subject.slice(stream.length + 1) : subject,
    eventId,
    correlationId:
      receivedId(attributes[CE.correlationId]) ?? receivedId(headers['x-correlation-id']) ?? eventId,
    app: text('Event-Origin-App'),
    subscription: text('Event-Origin-Handler'),
    durable: text('Event-Origin-Durable'),
    reason: text('Event-Failure-Reason') as DeadLetterReason,
    error: { type: text('Event-Failure-Type'), message: text('Event-Failure-Message') },
    attempts: count(headers['Event-Failure-Attempts']),
    firstFailedAt: time('Event-Failure-First-At'),
    lastFailedAt: time('Event-Failure-Last-At'),
    redrives: redrivesOf(headers),
    origin: {
      stream,
      sequence: count(headers['Event-Origin-Sequence']),
      subject,
      time: time('Event-Origin-Time'),
    },
    headers: own,
    body,
    data: () => decodeData(codec, headers, body, subject),
  };
  // Not one of its fields: letters are compared and copied by these.
  return Object.defineProperty(letter, 'toJSON', { value: () => jsonOf(letter) }) as DeadLetter;
}

function jsonOf({ body, data, ...fields }: Omit<DeadLetter, 'toJSON'>): Record<string, unknown> {
  try {
    return { ...fields, data: data() };
  } catch {
    return { ...fields, bodyBase64: Buffer.from(body).toString('base64') };
  }
}

const count = (text: string | undefined): number => Number.parseInt(text ?? '', 10) || 0;
