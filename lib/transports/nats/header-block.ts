import { isAscii } from 'node:buffer';
import type { Msg, MsgHdrs } from 'nats';
import { CE } from '../../core/cloudevents';
import { emptyHeaders, foldKey, isHeaderKey, type EventHeaders } from '../../core/headers';

/**
 * Headers as bytes, written and read by hand: the client's own header object costs more than the rest of a publish
 * (it canonicalises keys and tests values), and reading through it rewrites the keys' case.
 */

const VERSION = 'NATS/1.0';
/** A block larger than this is not read; nobody sends such headers by accident. */
export const MAX_HEADER_BLOCK = 16 * 1024;
/** Of a dead letter or a redriven event, which carry the failure and the origin besides. */
export const MAX_DEAD_LETTER_BLOCK = 20 * 1024;

const NON_ASCII = /[^\x00-\x7f]/;

const UNSAFE = /[\r\n\0]/;
const LINE_BREAKS = /[\r\n\0]/g;
/** A line break that does not end a header, or a NUL. */
const STRAY_BREAK = /\0|\r(?!\n)|(?<!\r)\n/;
/** In the order in which `emit` writes them. */
const OWN_KEYS: readonly string[] = ['Nats-Msg-Id', ...Object.values(CE), 'content-type'];
const COLON = 58;
const SPACE = 32;

/**
 * @param messageId written as `Nats-Msg-Id`, if given
 * @throws TypeError if a key or value would break the block; `emit` has refused such headers before
 */
export function encodeHeaders(headers: EventHeaders, messageId?: string): Buffer {
  let block = `${VERSION}\r\n`;
  if (messageId !== undefined) {
    if (UNSAFE.test(messageId)) throw new TypeError('the message id has a line break in it');
    block += `Nats-Msg-Id: ${messageId}\r\n`;
  }
  for (const key in headers) {
    const value = headers[key] as string;
    if (UNSAFE.test(value) || UNSAFE.test(key)) throw new TypeError(`header '${key}' has a line break in it`);
    block += `${key}: ${value}\r\n`;
  }
  block += '\r\n';
  return Buffer.from(block, NON_ASCII.test(block) ? 'utf8' : 'latin1');
}

/** The client only calls `encode()` on the headers of a publish. */
export const asMsgHdrs = (block: Uint8Array): MsgHdrs => ({ encode: () => block }) as unknown as MsgHdrs;

// Public on the client's class, missing from its interface.
type SizedMsg = Msg & { size(): number };

/**
 * The raw header block of a message, or `undefined` if it has none.
 * @param data of the message, of which the client makes another view each time
 */
export function headerBlockOf(msg: Msg, data = msg.data): Buffer | undefined {
  // The client gives no access to the bytes, but they lie before the data in one buffer.
  const length =
    (msg as SizedMsg).size() -
    data.length -
    Buffer.byteLength(msg.subject) -
    Buffer.byteLength(msg.reply ?? '');
  return length > 0 ? Buffer.from(data.buffer, data.byteOffset - length, length) : undefined;
}

/**
 * Reads a block: reserved and trace keys in lower case, the first value of a repeated reserved key, others joined.
 * @returns `undefined` if the block is malformed or too large
 */
export function decodeHeaders(
  block: Uint8Array | undefined,
  maxLength = MAX_HEADER_BLOCK,
): EventHeaders | undefined {
  const headers = emptyHeaders();
  if (block === undefined) return headers;
  if (block.length > maxLength) return undefined;
  const text = textOf(block);
  if (!text.startsWith(VERSION)) return undefined;
  // What other clients let through must not break the lines of a log, or of the block it is copied into.
  const plain = !STRAY_BREAK.test(text);
  let at = text.indexOf('\r\n');
  let expected = 0;
  while (at !== -1) {
    const start = at + 2;
    at = text.indexOf('\r\n', start);
    const end = at === -1 ? text.length : at;
    if (end === start) continue;
    // Our own headers come in the order in which `emit` writes them: compared, they need not be cut out and looked up.
    while (expected < OWN_KEYS.length && !text.startsWith(OWN_KEYS[expected] as string, start)) expected++;
    const own = OWN_KEYS[expected];
    if (own !== undefined && plain && text.charCodeAt(start + own.length) === COLON) {
      expected++;
      if (headers[own] === undefined) {
        headers[own] = trimmed(text, start + own.length + 1, end);
        continue;
      }
    } else if (own === undefined) expected = 0;
    const colon = text.indexOf(':', start);
    if (colon <= start || colon >= end) return undefined;
    const raw = text.slice(start, colon);
    if (!isHeaderKey(raw)) return undefined;
    const key = foldKey(raw);
    const value = text
      .slice(colon + 1, end)
      .replace(LINE_BREAKS, ' ')
      .trim();
    const earlier = headers[key];
    if (earlier === undefined) headers[key] = value;
    else if (key === raw && !key.startsWith('ce-')) headers[key] = `${earlier}, ${value}`;
  }
  return headers;
}

/** A value without the space before it, and without any other around it. */
function trimmed(text: string, start: number, end: number): string {
  const from = text.charCodeAt(start) === SPACE ? start + 1 : start;
  const value = text.slice(from, end);
  const isTrimmed = from < end && isInk(text.charCodeAt(from)) && isInk(text.charCodeAt(end - 1));
  return isTrimmed ? value : value.trim();
}

const isInk = (code: number): boolean => code > SPACE && code < 0x7f;

function textOf(block: Uint8Array): string {
  const bytes = Buffer.isBuffer(block) ? block : Buffer.from(block.buffer, block.byteOffset, block.length);
  return isAscii(bytes) ? bytes.toString('latin1') : bytes.toString('utf8');
}

/** The status of a control message of the server (`NATS/1.0 408 Request Timeout`); 0 if it has none. */
export function statusOf(msg: Msg): { code: number; text: string; headers: EventHeaders } {
  const block = headerBlockOf(msg);
  if (block === undefined) return { code: 0, text: '', headers: emptyHeaders() };
  const line = Buffer.from(block).toString('latin1').split('\r\n', 1)[0] as string;
  const text = line.slice(VERSION.length).trim();
  return { code: Number.parseInt(text, 10) || 0, text, headers: decodeHeaders(block) ?? emptyHeaders() };
}
