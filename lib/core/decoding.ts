import { CE, decodeAttribute } from './cloudevents';
import { EventsError, NonRetryableError } from './errors';
import type { EventHeaders } from './headers';
import type { InboundEvent } from './inbound-event';
import type { JsonCodec } from './json-codec';
import type { Stage } from './middleware';

/** Turns the body into `data`. A body that cannot be read never will be: a dead letter at once. */
export function decoding(codec: JsonCodec): Stage {
  return {
    consume: (event, next) => {
      try {
        event.data = read(codec, event);
      } catch (error) {
        if (!(error instanceof EventsError)) throw error;
        throw new NonRetryableError(error.message, { reason: 'undecodable', cause: error });
      }
      return next(event);
    },
  };
}

function read(codec: JsonCodec, { delivery }: InboundEvent): unknown {
  const { headers, malformed, subject } = delivery;
  if (malformed !== undefined) throw new EventsError('undecodable', malformed);
  return decodeData(codec, headers, delivery.text ?? delivery.body, subject);
}

/** The data of an event: ours, any CloudEvent of JSON, Nest's packet, or bare JSON. @throws EventsError `undecodable` */
export function decodeData(
  codec: JsonCodec,
  headers: EventHeaders,
  body: Uint8Array | string,
  subject: string,
): unknown {
  if (headers[CE.specversion] === undefined) return unwrapNestPacket(codec.parse(body), subject);
  const datePaths = headers[CE.datePaths];
  return codec.decode(body, datePaths === undefined ? undefined : decodeAttribute(datePaths));
}

/** Nest's clients send `{ pattern, data }`; anything else without CloudEvents attributes is bare JSON. */
function unwrapNestPacket(value: unknown, subject: string): unknown {
  if (typeof value !== 'object' || value === null || !('pattern' in value) || value.pattern !== subject)
    return value;
  const isPacket = Object.keys(value).every((key) => key === 'pattern' || key === 'data' || key === 'id');
  return isPacket ? (value as { data?: unknown }).data : value;
}
