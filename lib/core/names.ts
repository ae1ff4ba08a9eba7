import { createHash } from 'node:crypto';
import { MAX_EVENT_NAME_LENGTH } from './event-name';
import { asSubject, isSubject, type Subject } from './subject';

/** Names of streams, subjects and durables: one place, used by every transport. */

const MAX_SANITIZED_LENGTH = 100;
/** Letters, digits and dots: `Class.method`. */
const COMMON = /^[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*$/;
/** Of a `Class` or a `method`, what needs no change. */
const PLAIN = /^[A-Za-z0-9]+$/;
/** A part of a pattern that its token shows as it is: letters, digits and single `_` between them. */
const UNAMBIGUOUS = /^[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*$/;
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

declare const named: unique symbol;

/** Name of a handler's durable: `durableName` makes it, `parseDurable` reads it. */
export type DurableName = string & { readonly [named]: true };

/** A service, a handler and perhaps a pattern, each as `sanitize` leaves it. */
const DURABLE = /^[A-Za-z0-9_-]{1,100}(?:__[A-Za-z0-9_-]{1,100}){1,2}$/;

/** The text as the name of a handler's durable; `undefined` if no handler can have that. */
export const parseDurable = (text: string | undefined): DurableName | undefined =>
  text !== undefined && DURABLE.test(text) ? (text as DurableName) : undefined;

/** `<app>__<handler>`: the durable of a handler; a wildcard pattern's own durable adds `__<pattern>`. */
export function durableName(app: string, handler: string, wildcard?: string): DurableName {
  const durable = joinedDurable(sanitize(app), sanitize(handler));
  return (wildcard === undefined ? durable : wildcardDurable(durable, wildcard)) as DurableName;
}

/** As `durableName`, of tokens. */
export const joinedDurable = (app: string, handler: string): string => `${app}__${handler}`;

/**
 * Of a handler's durable, that of one of its wildcard patterns. Where another pattern can have the same token, a digest tells
 * them apart: with one durable, two versions of a handler would take each other's events.
 */
export function wildcardDurable(durable: string, wildcard: string): string {
  const token = sanitize(wildcard);
  return `${durable}__${isUnambiguous(wildcard) ? token : `${token}-${digest(wildcard)}`}`;
}

/** Whether a pattern can be told from its token: its own parts have no `-`, nothing to be cleaned, and are not `any` or `all`. */
const isUnambiguous = (wildcard: string): boolean =>
  wildcard
    .split('.')
    .every(
      (part) => part === '*' || part === '>' || (UNAMBIGUOUS.test(part) && part !== 'any' && part !== 'all'),
    );

export const deadLetterStream = (clusterId: string): string => `${clusterId}-dlq`;

/** Where dead letters go back to their handlers. */
export const retryStream = (clusterId: string): string => `${clusterId}-retry`;

/** `<clusterId>-retry.<app>.<handler>`, from the durable's name. */
export const retrySubject = (clusterId: string, durable: DurableName): Subject => {
  const at = durable.indexOf('__');
  return asSubject(`${retryStream(clusterId)}.${durable.slice(0, at)}.${durable.slice(at + 2)}`);
};

/** The durable whose handler a message of the retry stream is for. A subject that leads to no handler gives a durable that none has. */
export function durableOfRetry(clusterId: string, subject: string): DurableName {
  const place = subject.slice(retryStream(clusterId).length + 1);
  const durable = parseDurable(place.replace('.', '__'));
  if (durable !== undefined) return durable;
  const [app = ''] = place.split('.', 1);
  return joinedDurable(sanitize(app), `x-${digest(place)}`) as DurableName;
}

/**
 * Where one process records its attempts at events of a durable that did not settle them: in the stream of re-deliveries, where no
 * service asks for it, because no service's token begins with `_`.
 * @param stream of the events
 */
export const attemptRecordSubject = (
  clusterId: string,
  durable: string,
  stream: string,
  process: string,
): Subject => asSubject(`${retryStream(clusterId)}._attempts.${durable}.${stream}.${process}`);

/** The records of all processes. */
export const attemptRecordFilter = (clusterId: string, durable: string, stream: string): string =>
  `${retryStream(clusterId)}._attempts.${durable}.${stream}.*`;

/** Of an event name, or of the pattern of a filter. @throws EventsError `invalid_event_name` */
export const eventSubject = (clusterId: string, name: string): Subject => asSubject(`${clusterId}.${name}`);

/** The event name in a subject of this cluster, or the whole subject if it is foreign. */
export const eventNameOf = (clusterId: string, subject: string): string =>
  subject.startsWith(`${clusterId}.`) ? subject.slice(clusterId.length + 1) : subject;

/**
 * One subject per event and handler, so that the stream itself can refuse a second copy. The timestamp belongs to the
 * identity because sequence numbers are used again after a stream lost its tail.
 * @param timestamp when the stream stored the event, in the broker's own units
 * @param copy more than 0 where a message of somebody else has the subject
 */
export const deadLetterSubject = (
  clusterId: string,
  durable: string,
  sequence: number,
  timestamp: string | number,
  name: string,
  copy: number | string = 0,
): Subject => {
  const identity = `${sequence}-${timestamp}${copy === 0 ? '' : `-${copy}`}`;
  return asSubject(`${deadLetterStream(clusterId)}.${durable}.${identity}.${nameInSubject(name)}`);
};

/** Stands for the name of an event that has none, or one that cannot be part of a subject. */
export const NO_NAME = '_';

const WILDCARD_TOKEN = /(?:^|\.)[*>](?:\.|$)/;
const CUT_PAIR = /[\ud800-\udbff]$/;

// A subject of another client can be as long as the server takes; ours must not become longer than that.
function nameInSubject(name: string): string {
  const short =
    name.length <= MAX_EVENT_NAME_LENGTH
      ? name
      : name.slice(0, MAX_EVENT_NAME_LENGTH).replace(CUT_PAIR, '').replace(/\.+$/, '');
  return isSubject(short) && !WILDCARD_TOKEN.test(short) ? short : NO_NAME;
}
