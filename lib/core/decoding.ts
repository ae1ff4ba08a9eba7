import { CE, decodeAttribute } from './cloudevents';
import { EventsError, NonRetryableError } from './errors';
import type { EventHeaders } from './headers';
import type { InboundEvent } from './inbound-event';
import type { InexactSink, JsonCodec } from './json-codec';
import type { EventsLogger } from './logger';
import type { Stage } from './middleware';
import { bodyOf, isStructured, readStructured, type StructuredEvent } from './structured-event';
import { TextMemo } from './text-memo';

/**
 * Turns the body into `data`. A body that cannot be read never will be: a dead letter at once. Integers that a number would round are
 * texts in `data`; a contract of the event judges them there.
 * @param onInexact called with the name of each event that has such integers. Default: nobody is
 */
export function decoding(codec: JsonCodec, onInexact: (name: string) => void = () => undefined): Stage {
  return {
    consume: (event, next) => {
      try {
        event.data = read(codec, event);
      } catch (error) {
        if (!(error instanceof EventsError)) throw error;
        throw new NonRetryableError(error.message, { reason: 'undecodable', cause: error });
      }
      if (event.inexact) onInexact(event.name);
      return next(event);
    },
  };
}

/**
 * Warns once per event name; not of those with a contract, which refuses the text or takes it.
 * @param contracts names of the events that have one
 */
export function inexactWarnings(
  logger: EventsLogger,
  contracts: ReadonlySet<string>,
): (name: string) => void {
  const warned = new TextMemo<true>();
  return (name) => {
    if (contracts.has(name) || warned.get(name) !== undefined) return;
    warned.set(name, true);
    logger.warn(
      `'${name}' has an integer that a JavaScript number would round (beyond 2^53): handlers receive it as a string. Send it as a ` +
        'string, or give the event a contract that takes one there; this is logged once per event name',
    );
  };
}

export const inexactError = (): EventsError =>
  new EventsError(
    'undecodable',
    'the body has an integer that a JavaScript number would round (beyond 2^53), and the contract does not take the string it ' +
      'arrives as: take a string there, or send smaller numbers',
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
