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
const DOT = 46;
/** The numbers of a delivery, of no delivery: the server takes what is sent there for nothing. */
const NO_DELIVERY = '0.0.0.0.0';

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<timestamp>.<pending>`, or with
 * `<domain>.<account hash>` before the stream and a random token at the end.
 * @param bytes in which it stands from `at` on, a byte for each of its characters: there the common form is read in a third of the time
 * @returns `undefined` if it is not such a subject
 */
export function parseAckSubject(reply: string, bytes?: Uint8Array, at = 0): AckInfo | undefined {
  if (!reply.startsWith(PREFIX)) return undefined;
  return (bytes === undefined ? undefined : parseCommon(reply, bytes, at)) ?? parseTokens(reply);
}

/** From the end, and no token more than is asked for. */
function parseCommon(reply: string, bytes: Uint8Array, at: number): AckInfo | undefined {
  const pending = dotBefore(bytes, at + reply.length, at);
  const timestamp = dotBefore(bytes, pending, at);
  const consumerSequence = dotBefore(bytes, timestamp, at);
  const sequence = dotBefore(bytes, consumerSequence, at);
  const deliveries = dotBefore(bytes, sequence, at);
  const consumer = dotBefore(bytes, deliveries, at);
  if (consumer <= at || dotBefore(bytes, consumer, at) !== at + PREFIX.length - 1) return undefined;
  return infoOf(
    numberIn(bytes, deliveries + 1, sequence),
    numberIn(bytes, sequence + 1, consumerSequence),
    reply.slice(timestamp + 1 - at, pending - at),
  );
}

function parseTokens(reply: string): AckInfo | undefined {
  const tokens = reply.split('.');
  if (tokens.length !== 9 && tokens.length < 11) return undefined;
  const [deliveries = '', sequence = '', , timestamp = ''] = tokens.slice(tokens.length === 9 ? 4 : 6);
  return infoOf(numberOf(deliveries), numberOf(sequence), timestamp);
}

/**
 * The part of a reply subject that is the same for all deliveries of a consumer, with a dot at the end: `$JS.ACK.<stream>.<consumer>.`,
 * or with `<domain>.<account hash>` before the stream (version 2). Permissions are given for it.
 * @returns `undefined` if it is no such subject
 */
export function ackPlaceOf(subject: string): string | undefined {
  if (!subject.startsWith(PREFIX)) return undefined;
  const tokens = subject.split('.');
  if (tokens.length !== 9 && tokens.length < 11) return undefined;
  return `${tokens.slice(0, tokens.length === 9 ? 4 : 6).join('.')}.`;
}

/** @param version2 what stands in front of the stream. Default: version 1 */
export const ackPlace = (stream: string, consumer: string, version2?: string): string =>
  `${version2 ?? PREFIX}${stream}.${consumer}.`;

/** What version 2 puts in front of the stream. @param hash of the account */
export const version2Prefix = (domain: string, hash: string): string => `${PREFIX}${domain}.${hash}.`;

/** A subject there that settles nothing, to find out whether the server permits to settle. */
export const ackProbe = (place: string): string => `${place}${NO_DELIVERY}`;

/** Where the last dot before `end` is; before `at` if there is none. */
function dotBefore(bytes: Uint8Array, end: number, at: number): number {
  let place = end - 1;
  while (place >= at && bytes[place] !== DOT) place--;
  return place;
}

const numberOf = (token: string): number | undefined => {
  const bytes = Buffer.from(token);
  return numberIn(bytes, 0, bytes.length);
};

function infoOf(
  deliveries: number | undefined,
  sequence: number | undefined,
  timestamp: string,
): AckInfo | undefined {
  return deliveries === undefined || sequence === undefined ? undefined : { deliveries, sequence, timestamp };
}

/** The server's timestamp in milliseconds. */
export const millisOf = (timestamp: string): number => Number(timestamp.slice(0, -6));
