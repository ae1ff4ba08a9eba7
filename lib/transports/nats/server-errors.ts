/**
 * What an error of the server says about the request that it answers.
 *
 * - `never`: the server did nothing, and refuses the same request again.
 * - `not_now`: the server did nothing, and may accept the same request later.
 * - `unknown`: the server may have done it, or may still do it.
 */
export type Judgement = 'never' | 'not_now' | 'unknown';

export const CONSUMER_NOT_FOUND = 10014;
export const STREAM_NOT_FOUND = 10059;
export const CONSUMER_DOES_NOT_EXIST = 10149;
const STORE_FAILED = 10077;

/** The server's words for a stream that is full; every other failure to store leaves the outcome open. */
const STREAM_FULL = /^(?:maximum (?:messages|messages per subject|bytes) exceeded|message too? large)$/;

/** JetStream is switched off, on the server or for the account. */
export const JETSTREAM_OFF: ReadonlySet<number> = new Set([10039, 10076]);

/** A limit of the server, the account or the stream forbids it. */
export const LIMITS: ReadonlySet<number> = new Set([
  10002, // resource limits exceeded for account
  10023, // insufficient resources
  10026, // maximum consumers limit reached
  10027, // maximum number of streams reached
  10028, // insufficient memory resources available
  10047, // insufficient storage resources available
  10120, // no JetStream default or applicable tiered limit present
  10121, // consumer max ack pending exceeds system limit
  10153, // consumer inactive threshold exceeds system limit
]);

const NOT_NOW: ReadonlySet<number> = new Set([
  ...JETSTREAM_OFF,
  10004, // incomplete results
  10005, // no suitable peers for placement
  10006, // JetStream not in clustered mode
  10007, // JetStream cluster not assigned to this server
  10008, // JetStream system temporarily unavailable
  10009, // JetStream cluster can not handle request
  10075, // peer remap failed
  10118, // stream is offline
  10119, // consumer is offline
  10124, // stream move already in progress
  10163, // expected last sequence per subject temporarily unavailable
  10164, // wrong last sequence: another message of the subject is in process
  10167, // too many requests
  10176, // atomic publish batch is incomplete
  10194, // stream is offline: reason
  10195, // consumer is offline: reason
  10202, // cluster member change is in progress
  10210, // atomic publish too many inflight
  10211, // batch publish too many inflight
  10226, // stream reconfiguration already in progress
]);

/** The server began, or failed on its own side after it began. */
const UNKNOWN: ReadonlySet<number> = new Set([
  10041, // general RAFT error
  10048, // general stream assignment error
  10051, // general stream failure
  10104, // error creating store for consumer
  10158, // duplicate message id is in process
]);

/** First and last code of nats-server 2.15 that were judged; a newer server may have more. */
const FIRST = 10002;
const LAST = 10226;

/**
 * Judges an error code of JetStream (`err_code`), from nats-server 2.10 to 2.15. A code that is not one of theirs is `unknown`.
 * https://github.com/nats-io/nats-server/blob/main/server/errors.json
 * @param description the server's text, which alone tells why a message was not stored
 */
export function judge(code: unknown, description: unknown): Judgement {
  if (typeof code !== 'number' || !Number.isInteger(code) || code < FIRST || code > LAST) return 'unknown';
  if (code === STORE_FAILED)
    return typeof description === 'string' && STREAM_FULL.test(description) ? 'never' : 'unknown';
  if (NOT_NOW.has(code)) return 'not_now';
  return UNKNOWN.has(code) ? 'unknown' : 'never';
}
