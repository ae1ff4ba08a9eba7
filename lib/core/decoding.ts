import { CE, decodeAttribute } from './cloudevents';
import { EventsError, NonRetryableError } from './errors';
import type { EventHeaders } from './headers';
import type { InboundEvent } from './inbound-event';
import type { InexactSink, JsonCodec } from './json-codec';
import type { Stage } from './middleware';
import { bodyOf, isStructured, readStructured, type StructuredEvent } from './structured-event';

/**
 * Turns the body into `data`. A body that cannot be read never will be: a dead letter at once. So is one with integers that a number
 * would round, unless a contract judges the texts in their places.
 * @param hasContract tells of an event's name whether one does. Default: none does
 */
export function decoding(codec: JsonCodec, hasContract: (name: string) => boolean = () => false): Stage {
  return {
    consume: (event, next) => {
      try {
        event.data = read(codec, event);
        if (event.inexact && !hasContract(event.name)) throw inexactError();
      } catch (error) {
        if (!(error instanceof EventsError)) throw error;
        throw new NonRetryableError(error.message, { reason: 'undecodable', cause: error });
      }
      return next(event);
    },
  };
}

export const inexactError = (): EventsError =>
  new EventsError(
    'undecodable',
    'the body has an integer that a JavaScript number would round (beyond 2^53): send it as a string, or give the event a ' +
      'contract that takes text there',
  );

function read(codec: JsonCodec, event: InboundEvent): unknown {
  const { headers, malformed, subject } = event.delivery;
  if (malformed !== undefined) throw new EventsError('undecodable', malformed);
  const { structured } = event;
  if (structured !== undefined) {
    event.inexact = structured.inexact;
    return dataOfStructured(codec, structured);
  }
  return dataOfBinary(codec, headers, event.delivery.text ?? event.delivery.body, subject, event);
}

/**
 * The data of an event: ours, any CloudEvent of JSON or text, Nest's packet, or bare JSON. Integers that a number would round are texts.
 * @throws EventsError `undecodable`
 */
export const decodeData = (
  codec: JsonCodec,
  headers: EventHeaders,
  body: Uint8Array | string,
  subject: string,
): unknown =>
  isStructured(headers['content-type'])
    ? dataOfStructured(codec, readStructured(headers, body))
    : dataOfBinary(codec, headers, body, subject);

function dataOfStructured(codec: JsonCodec, { headers, data, error }: StructuredEvent): unknown {
  if (error !== undefined) throw error;
  const datePaths = headers[CE.datePaths];
  return datePaths === undefined ? data : codec.reviveDates(data, decodeAttribute(datePaths));
}

function dataOfBinary(
  codec: JsonCodec,
  headers: EventHeaders,
  body: Uint8Array | string,
  subject: string,
  sink?: InexactSink,
): unknown {
  const data = bodyOf(body, headers['content-type'], sink);
  if (headers[CE.specversion] === undefined) return unwrapNestPacket(data, subject);
  const datePaths = headers[CE.datePaths];
  return datePaths === undefined
    ? data
    : codec.reviveDates(data, decodeAttribute(datePaths), 2 * body.length + 1000);
}

/** Nest's clients send `{ pattern, data }`; anything else without CloudEvents attributes is bare JSON. */
function unwrapNestPacket(value: unknown, subject: string): unknown {
  if (typeof value !== 'object' || value === null || !('pattern' in value) || value.pattern !== subject)
    return value;
  const isPacket = Object.keys(value).every((key) => key === 'pattern' || key === 'data' || key === 'id');
  return isPacket ? (value as { data?: unknown }).data : value;
}
