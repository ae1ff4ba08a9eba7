import { numberIn } from './digits';

/** What the reply subject of a JetStream delivery tells (ADR-15 of the NATS architecture). */
export interface AckInfo {
  /** 1 for the first delivery. */
  readonly deliveries: number;
  readonly sequence: number;
  /** Nanoseconds since the epoch, as digits: more than a number can hold. */
  readonly timestamp: string;
}

const PREFIX = '$JS.ACK.';

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<timestamp>.<pending>`, or with
 * `<domain>.<account hash>` before the stream and a random token at the end.
 * @returns `undefined` if it is not such a subject
 */
export function parseAckSubject(reply: string): AckInfo | undefined {
  if (!reply.startsWith(PREFIX)) return undefined;
  // From the end, and no token more than is asked for: splitting costs three times as much.
  const pending = reply.lastIndexOf('.');
  const timestamp = reply.lastIndexOf('.', pending - 1);
  const consumerSequence = reply.lastIndexOf('.', timestamp - 1);
  const sequence = reply.lastIndexOf('.', consumerSequence - 1);
  const deliveries = reply.lastIndexOf('.', sequence - 1);
  const consumer = reply.lastIndexOf('.', deliveries - 1);
  if (consumer === reply.indexOf('.', PREFIX.length)) {
    return infoOf(
      numberIn(reply, deliveries + 1, sequence),
      numberIn(reply, sequence + 1, consumerSequence),
      reply.slice(timestamp + 1, pending),
    );
  }
  const tokens = reply.split('.');
  if (tokens.length < 11) return undefined;
  const [, , , , , , ofDeliveries = '', ofSequence = '', , time = ''] = tokens;
  return infoOf(numberIn(ofDeliveries), numberIn(ofSequence), time);
}

function infoOf(
  deliveries: number | undefined,
  sequence: number | undefined,
  timestamp: string,
): AckInfo | undefined {
  return deliveries === undefined || sequence === undefined ? undefined : { deliveries, sequence, timestamp };
}

/** The server's timestamp in milliseconds. */
export const millisOf = (timestamp: string): number => Number(timestamp.slice(0, -6));
