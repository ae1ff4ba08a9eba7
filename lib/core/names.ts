import { createHash } from 'node:crypto';
import { MAX_EVENT_NAME_LENGTH } from './event-name';

/** Names of streams, subjects and durables: one place, used by every transport. */

const MAX_SANITIZED_LENGTH = 100;
/** Letters, digits and dots: `Class.method`. */
const COMMON = /^[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*$/;
/** Of a `Class` or a `method`, what needs no change. */
const PLAIN = /^[A-Za-z0-9]+$/;
const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);

/**
 * A service, handler or pattern as one token of a NATS name: `[A-Za-z0-9_-]`, without `__`, no `_` at either end, at most 100 characters.
 * `*` becomes `any`, `>` becomes `all`. Different texts can meet in one token; whoever stores by it keeps the raw text
 * beside it and compares.
 */
export function sanitize(text: string): string {
  // The steps below say the same of it; for a thousand handlers they left 1.9 MB of garbage.
  if (text.length <= MAX_SANITIZED_LENGTH && COMMON.test(text)) return text.replaceAll('.', '-');
  const token = text
    .trim()
    .replace(/\*/g, 'any')
    .replace(/>/g, 'all')
    .replace(/[^A-Za-z0-9_-]+/g, '-')
    .replace(/_{2,}/g, '_')
    // Beside the `__` of a durable they would make it ambiguous.
    .replace(/^_|_$/g, '');
  // Text without one Latin letter or digit would all become "-"; text that is too long would be cut alike.
  if (!/[A-Za-z0-9]/.test(token)) return `x-${digest(text)}`;
  return token.length <= MAX_SANITIZED_LENGTH
    ? token
    : `${token.slice(0, MAX_SANITIZED_LENGTH - 9)}-${digest(text)}`;
}

/**
 * What `sanitize` makes of `<owner>.<member>`, such as `Class.method`: the owner is looked at once for all its members, and their
 * token is made in one piece.
 */
export function memberToken(owner: string): (member: string) => string {
  if (!PLAIN.test(owner)) return (member) => sanitize(`${owner}.${member}`);
  const prefix = `${owner}-`;
  return (member) =>
    prefix.length + member.length <= MAX_SANITIZED_LENGTH && PLAIN.test(member)
      ? prefix + member
      : sanitize(`${owner}.${member}`);
}

/** `<app>__<handler>`: the durable of a handler; a wildcard pattern's own durable adds `__<pattern>`. */
export function durableName(app: string, handler: string, wildcard?: string): string {
  const durable = joinedDurable(sanitize(app), sanitize(handler));
  return wildcard === undefined ? durable : wildcardDurable(durable, wildcard);
}

/** As `durableName`, of tokens. */
export const joinedDurable = (app: string, handler: string): string => `${app}__${handler}`;

/** Of a handler's durable, that of one of its wildcard patterns. */
export const wildcardDurable = (durable: string, wildcard: string): string =>
  `${durable}__${sanitize(wildcard)}`;

export const deadLetterStream = (clusterId: string): string => `${clusterId}-dlq`;

/** Where dead letters go back to their handlers. */
export const retryStream = (clusterId: string): string => `${clusterId}-retry`;

/** `<clusterId>-retry.<app>.<handler>`, from the durable's name. */
export const retrySubject = (clusterId: string, durable: string): string => {
  const at = durable.indexOf('__');
  return `${retryStream(clusterId)}.${durable.slice(0, at)}.${durable.slice(at + 2)}`;
};

/** The durable whose handler a message of the retry stream is for. */
export const durableOfRetry = (clusterId: string, subject: string): string =>
  subject.slice(retryStream(clusterId).length + 1).replace('.', '__');

/** Marks that a handler runs an event which may be killing its process. */
export const runMarkSubject = (
  clusterId: string,
  durable: string,
  sequence: number,
  timestamp: string,
): string => `${deadLetterStream(clusterId)}-run.${durable}.${sequence}-${timestamp}`;

export const eventSubject = (clusterId: string, name: string): string => `${clusterId}.${name}`;

/** The event name in a subject of this cluster, or the whole subject if it is foreign. */
export const eventNameOf = (clusterId: string, subject: string): string =>
  subject.startsWith(`${clusterId}.`) ? subject.slice(clusterId.length + 1) : subject;

/**
 * One subject per event and handler, so that the stream itself can refuse a second copy. The timestamp belongs to the
 * identity because sequence numbers are used again after a stream lost its tail.
 * @param timestamp when the stream stored the event, in the broker's own units
 */
export const deadLetterSubject = (
  clusterId: string,
  durable: string,
  sequence: number,
  timestamp: string | number,
  name: string,
): string => `${deadLetterStream(clusterId)}.${durable}.${sequence}-${timestamp}.${shortened(name)}`;

// A subject of another client can be as long as the server takes; ours must not become longer than that.
const shortened = (name: string): string =>
  name.length <= MAX_EVENT_NAME_LENGTH ? name : name.slice(0, MAX_EVENT_NAME_LENGTH).replace(/\.+$/, '');
