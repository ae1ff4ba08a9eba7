import type { Msg, MsgHdrs } from 'nats';
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

/** The raw header block of a message, or `undefined` if it has none. */
export function headerBlockOf(msg: Msg): Uint8Array | undefined {
  const { data } = msg;
  // The client gives no access to the bytes, but they lie before the data in one buffer.
  const length =
    (msg as SizedMsg).size() -
    data.length -
    Buffer.byteLength(msg.subject) -
    Buffer.byteLength(msg.reply ?? '');
  return length > 0 ? new Uint8Array(data.buffer, data.byteOffset - length, length) : undefined;
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
  const lines = Buffer.from(block.buffer, block.byteOffset, block.length).toString('utf8').split('\r\n');
  if (!(lines[0] as string).startsWith(VERSION)) return undefined;
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string;
    if (line === '') continue;
    const colon = line.indexOf(':');
    if (colon <= 0) return undefined;
    const raw = line.slice(0, colon);
    if (!isHeaderKey(raw)) return undefined;
    const key = foldKey(raw);
    // What other clients let through must not break the lines of a log, or of the block it is copied into.
    const value = line
      .slice(colon + 1)
      .replace(LINE_BREAKS, ' ')
      .trim();
    const earlier = headers[key];
    if (earlier === undefined) headers[key] = value;
    else if (key === raw && !key.startsWith('ce-')) headers[key] = `${earlier}, ${value}`;
  }
  return headers;
}

/** The status of a control message of the server (`NATS/1.0 408 Request Timeout`); 0 if it has none. */
export function statusOf(msg: Msg): { code: number; text: string; headers: EventHeaders } {
  const block = headerBlockOf(msg);
  if (block === undefined) return { code: 0, text: '', headers: emptyHeaders() };
  const line = Buffer.from(block).toString('latin1').split('\r\n', 1)[0] as string;
  const text = line.slice(VERSION.length).trim();
  return { code: Number.parseInt(text, 10) || 0, text, headers: decodeHeaders(block) ?? emptyHeaders() };
}
