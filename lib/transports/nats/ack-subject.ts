/** What the reply subject of a JetStream delivery tells (ADR-15 of the NATS architecture). */
export interface AckInfo {
  readonly stream: string;
  /** 1 for the first delivery. */
  readonly deliveries: number;
  readonly sequence: number;
  /** Nanoseconds since the epoch, as digits: more than a number can hold. */
  readonly timestamp: string;
  /** Events the consumer has yet to deliver. */
  readonly pending: number;
}

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<timestamp>.<pending>`, or with
 * `<domain>.<account hash>` before the stream and a random token at the end.
 * @returns `undefined` if it is not such a subject
 */
export function parseAckSubject(reply: string): AckInfo | undefined {
  if (!reply.startsWith('$JS.ACK.')) return undefined;
  const tokens = reply.split('.');
  const at = tokens.length === 9 ? 2 : tokens.length >= 11 ? 4 : -1;
  if (at === -1) return undefined;
  const number = (i: number): number => Number(tokens[at + i]);
  const info = {
    stream: tokens[at] as string,
    deliveries: number(2),
    sequence: number(3),
    timestamp: tokens[at + 5] as string,
    pending: number(6),
  };
  return Number.isInteger(info.deliveries) && Number.isInteger(info.sequence) ? info : undefined;
}

/** The server's timestamp in milliseconds. */
export const millisOf = (timestamp: string): number => Number(timestamp.slice(0, -6));
