import { emptyHeaders, type EventHeaders } from './headers';
import { printable } from './printable';
import type { Failure } from './settlement';

/** Bytes that the headers added to a dead letter take at most, as they go on the wire. */
export const MAX_FAILURE_HEADER_BYTES = 2048;

/** How often an event was sent back to its handler: on a dead letter, and on its way back. */
export const REDRIVES = 'Event-Redrives';

/** Of the headers of an event that comes back to its handler; 0 if it says none. */
export const redrivesOf = (headers: EventHeaders): number =>
  Number.parseInt(headers[REDRIVES] ?? '', 10) || 0;

/** Where a dead letter comes from. Moments are in milliseconds since the epoch. */
export interface DeadLetterOrigin {
  readonly stream: string;
  /** 0 for an event that was never stored. */
  readonly sequence: number;
  readonly subject: string;
  readonly storedAt: number;
  /** Name of the durable, or of the queue group of an ephemeral subscription. */
  readonly durable: string;
  /** The service and the handler, as written. */
  readonly app: string;
  readonly handler: string;
  /** Deliveries so far. */
  readonly attempts: number;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  /** How often it was sent back to its handler. Default: never. */
  readonly redrives?: number;
}

// How often we have sent it back is told by its origin: a header of that name may be anybody's.
const DROPPED = /^(?:nats-|event-(?:failure-|origin-|redrives$))/i;

/**
 * The headers of a dead letter: those of the event except the server's own (`Nats-*`) and what an earlier dead letter,
 * or somebody else, left of ours; then the failure and the origin. Added values are cleaned of control characters and trimmed; where all of it
 * would exceed `MAX_FAILURE_HEADER_BYTES`, the message is cut.
 */
export function deadLetterHeaders(
  original: EventHeaders,
  failure: Failure,
  origin: DeadLetterOrigin,
): EventHeaders {
  const added = emptyHeaders();
  let room = MAX_FAILURE_HEADER_BYTES;
  // The caps leave some 250 bytes for the message in the worst case.
  const add = (key: string, value: string, cap = room): void => {
    const cleaned = clean(value, Math.min(cap, room - lineBytes(key, '')));
    added[key] = cleaned;
    room -= lineBytes(key, cleaned);
  };
  add('Event-Failure-Reason', failure.reason);
  add('Event-Failure-Type', failure.type, 100);
  add('Event-Failure-Attempts', String(origin.attempts));
  add('Event-Failure-First-At', iso(origin.firstFailedAt));
  add('Event-Failure-Last-At', iso(origin.lastFailedAt));
  add('Event-Origin-Stream', origin.stream, 100);
  add('Event-Origin-Sequence', String(origin.sequence));
  add('Event-Origin-Subject', origin.subject, 320);
  add('Event-Origin-Time', iso(origin.storedAt));
  add('Event-Origin-Durable', origin.durable, 310);
  add('Event-Origin-App', origin.app, 256);
  add('Event-Origin-Handler', origin.handler, 256);
  if (origin.redrives !== undefined) add(REDRIVES, String(origin.redrives));
  add('Event-Failure-Message', failure.message);

  const headers = emptyHeaders();
  for (const [key, value] of Object.entries(original)) if (!DROPPED.test(key)) headers[key] = value;
  return Object.assign(headers, added);
}

const iso = (milliseconds: number): string => new Date(milliseconds).toISOString();

const lineBytes = (key: string, value: string): number => Buffer.byteLength(`${key}: ${value}\r\n`);

/** At most `bytes` of UTF-8 on one line, whole code points. What was thrown may have a name that is no string. */
function clean(value: unknown, bytes: number): string {
  const text = printable(String(value), MAX_FAILURE_HEADER_BYTES).trim();
  let size = 0;
  let end = 0;
  for (const character of text) {
    size += Buffer.byteLength(character);
    if (size > bytes) break;
    end += character.length;
  }
  return text.slice(0, end).trim();
}
