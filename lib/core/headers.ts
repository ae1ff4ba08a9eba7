import { EventsError } from './errors';
import { quote } from './event-name';

/** Header keys and values of one event. They inherit nothing: keys come from the wire. */
export type EventHeaders = Readonly<Record<string, string>>;

const KEY = /^[\x21-\x39\x3b-\x7e]+$/; // printable ASCII without space and colon (RFC 5322 field names)
const RESERVED = /^(?:nats-|ce-|event-|content-type$)/i;
// Written by others in any case, looked up by us in one.
const FOLDED = /^(?:ce-.*|content-type|traceparent|tracestate|baggage|x-correlation-id)$/i;

const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;

export const isHeaderValue = (value: string): boolean => !CONTROL.test(value);

export const isHeaderKey = (key: string): boolean => KEY.test(key);

/**
 * Inherits nothing that a key from the wire could meet. Not `Object.create(null)`, which the engine keeps as a hash
 * table: writing and reading the headers of an event took six times as long.
 */
const Headers = function () {} as unknown as new () => Record<string, string>;
Headers.prototype = Object.freeze(Object.create(null)) as object;

export const emptyHeaders = (): Record<string, string> => new Headers();

/** Bytes that the headers of an event may take together; larger blocks are not read by consumers. */
export const MAX_HEADER_BYTES = 15 * 1024;

/** Bytes that these headers take on the wire. */
export function headerBytes(headers: EventHeaders): number {
  let bytes = 0;
  for (const key in headers) bytes += key.length + Buffer.byteLength(headers[key] as string) + 4;
  return bytes;
}

/** @throws EventsError `invalid_header` if they take too many bytes together */
export function checkHeaderBytes(bytes: number): void {
  if (bytes <= MAX_HEADER_BYTES) return;
  throw new EventsError(
    'invalid_header',
    `the headers take ${bytes} bytes together, ${MAX_HEADER_BYTES} are allowed`,
  );
}

/** The spelling under which a header of an inbound event is kept: `ce-*` and the trace headers in lower case. */
export const foldKey = (key: string): string => (FOLDED.test(key) ? key.toLowerCase() : key);

/** Whether the key belongs to the package or to the server, and is therefore hidden from handlers. */
export const isReserved = (key: string): boolean => RESERVED.test(key);

/**
 * Checks the headers a user gives to `emit`; returns a copy with values trimmed, as a NATS client reads them.
 * @throws EventsError `invalid_header`
 */
export function checkHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const checked = emptyHeaders();
  for (const key of Object.keys(headers)) {
    const value: unknown = headers[key];
    if (!KEY.test(key)) {
      throw new EventsError(
        'invalid_header',
        `invalid header key ${quote(key)}: printable ASCII without space or colon`,
      );
    }
    if (isReserved(key)) {
      throw new EventsError(
        'invalid_header',
        `header ${quote(key)} is reserved: choose a key outside Nats-*, ce-*, Event-*`,
      );
    }
    if (typeof value !== 'string') {
      throw new EventsError('invalid_header', `header ${quote(key)} must be a string, got ${typeof value}`);
    }
    if (!isHeaderValue(value)) {
      throw new EventsError('invalid_header', `header ${quote(key)} has a control character in its value`);
    }
    checked[foldKey(key)] = value.trim();
  }
  return checked;
}
