import { isAscii, isUtf8 } from 'node:buffer';
import type { MsgHdrs } from 'nats';
import type { ReceivedMessage } from './received-message';
import { CE } from '../../core/cloudevents';
import type { EventMessage } from '../../core/event-message';
import { emptyHeaders, foldKey, isHeaderKey, type EventHeaders } from '../../core/headers';
import { ownText } from '../../core/text';
import { TextMemo } from '../../core/text-memo';

/**
 * Headers as bytes, written and read by hand: the client's own header object costs more than the rest of a publish
 * (it canonicalises keys and tests values), and reading through it rewrites the keys' case.
 */

const VERSION = 'NATS/1.0';
/** Bytes of a block besides its headers: the version and the end. */
export const FRAME_OF_BLOCK = `${VERSION}\r\n\r\n`.length;
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
  let block = VERSION;
  if (messageId !== undefined) {
    if (UNSAFE.test(messageId)) throw new TypeError('the message id has a line break in it');
    block += `\r\nNats-Msg-Id: ${messageId}`;
  }
  for (const key in headers) block += line(key, headers[key] as string);
  block += '\r\n\r\n';
  return Buffer.from(block, NON_ASCII.test(block) ? 'utf8' : 'latin1');
}

function line(key: string, value: string): string {
  if (UNSAFE.test(value) || UNSAFE.test(key)) throw new TypeError(`header '${key}' has a line break in it`);
  return `\r\n${key}: ${value}`;
}

/** What the blocks of all events of one name and one service have in common. */
interface CommonParts {
  readonly beforeId: string;
  readonly beforeTime: string;
}

const BEFORE_SECOND_ID = ownText(`\r\n${CE.specversion}: 1.0\r\n${CE.id}: `);
const BEFORE_CORRELATION_ID = ownText(`\r\n${CE.correlationId}: `);
const END = '\r\ncontent-type: application/json\r\n\r\n';
/** By service and name. A text that is joined of pieces keeps an object for each until it is written: 9 instead of 24. */
const COMMON = new TextMemo<TextMemo<CommonParts>>();

function commonParts(name: string, source: string): CommonParts {
  const names = COMMON.get(source) ?? COMMON.set(source, new TextMemo());
  const known = names.get(name);
  return (
    known ??
    names.set(name, {
      beforeId: ownText(`${VERSION}\r\nNats-Msg-Id: ${name}:${source}:`),
      beforeTime: ownText(`\r\n${CE.source}: ${source}\r\n${CE.type}: ${name}\r\n${CE.time}: `),
    })
  );
}

/** How blocks end, by their date paths. */
const ENDS = new TextMemo<string>();
/** Longer paths are rare, and not remembered. */
const MAX_REMEMBERED_PATHS = 512;

function endOf(datePaths: string | undefined): string {
  if (datePaths === undefined) return END;
  const known = ENDS.get(datePaths);
  if (known !== undefined) return known;
  const end = `\r\n${CE.datePaths}: ${datePaths}${END}`;
  return datePaths.length > MAX_REMEMBERED_PATHS ? end : ENDS.set(datePaths, ownText(end));
}

/** The block of an event, as `encodeHeaders` writes it, without a record of headers in between: as text if it is ASCII. */
export function encodeEventHeaders(message: EventMessage): Buffer | string {
  const { name, source, id, own, time, correlationId, causationId, datePaths } = message;
  const parts = commonParts(name, source);
  let block = parts.beforeId + id;
  for (const key in own) block += line(key, own[key] as string);
  block += BEFORE_SECOND_ID + id + parts.beforeTime + time + BEFORE_CORRELATION_ID + correlationId;
  if (causationId !== undefined) block += `\r\n${CE.causationId}: ${causationId}`;
  block += endOf(datePaths);
  // The attributes are encoded: only the user's headers can hold anything but ASCII.
  return own !== undefined && NON_ASCII.test(block) ? Buffer.from(block, 'utf8') : block;
}

/** The client only calls `encode()` on the headers of a publish. */
export const asMsgHdrs = (block: Uint8Array): MsgHdrs => ({ encode: () => block }) as unknown as MsgHdrs;

/** A block as `emit` writes it, without headers of the user's: values are printable ASCII without spaces. */
const OWN_BLOCK = new RegExp(
  [
    `NATS/1\\.0`,
    'Nats-Msg-Id: ([!-~]+)',
    `${CE.specversion}: 1\\.0`,
    ...[CE.id, CE.source, CE.type, CE.time].map((key) => `${key}: ([!-~]+)`),
    // Where one event begins what others follow from, it is the id once more.
    `${CE.correlationId}: (?:\\2(?=\r)|([!-~]+))`,
    `(?:${CE.causationId}: ([!-~]+)\r\n)?(?:${CE.datePaths}: ([!-~]+)\r\n)?content-type: application/json`,
    '',
    '',
  ].join('\r\n'),
  'y',
);

/** Where `ce-id` begins in it, besides the message id. */
const BEFORE_ID = `${VERSION}\r\nNats-Msg-Id: `.length + `\r\n${CE.specversion}: 1.0\r\n${CE.id}: `.length;

/** Most events come from where the one before came from. */
let lastSource = '';

/**
 * Reads the header block of a message as `emit` writes most of them: with one expression, a third of what `decodeHeaders`
 * costs.
 * @returns `undefined` if it is any other
 */
export function decodeOwnHeaders(message: ReceivedMessage): EventHeaders | undefined {
  const { headerLength, text } = message;
  if (headerLength === 0 || headerLength > MAX_HEADER_BLOCK || text === undefined) return undefined;
  OWN_BLOCK.lastIndex = 0;
  const found = OWN_BLOCK.exec(text);
  if (found === null || OWN_BLOCK.lastIndex !== headerLength) return undefined;
  const headers = emptyHeaders();
  const [, messageId = '', id = '', source = ''] = found;
  // What is cut out of a text keeps all of it in memory. What handlers may keep is read from the bytes.
  const idAt = message.start + BEFORE_ID + messageId.length;
  const ownId = message.piece.toString('latin1', idAt, idAt + id.length);
  headers['Nats-Msg-Id'] = messageId;
  headers[CE.specversion] = '1.0';
  headers[CE.id] = ownId;
  headers[CE.source] = source === lastSource ? lastSource : (lastSource = ownText(source));
  headers[CE.type] = found[4] as string;
  headers[CE.time] = found[5] as string;
  headers[CE.correlationId] = found[6] === undefined ? ownId : ownText(found[6]);
  if (found[7] !== undefined) headers[CE.causationId] = ownText(found[7]);
  if (found[8] !== undefined) headers[CE.datePaths] = found[8];
  headers['content-type'] = 'application/json';
  return headers;
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
  // What is not UTF-8 stays apart: read as such, different ids of another encoding would be one.
  return isAscii(bytes) || !isUtf8(bytes) ? bytes.toString('latin1') : bytes.toString('utf8');
}

/** The status of a control message of the server (`NATS/1.0 408 Request Timeout`); 0 if it has none. */
export function statusOf(msg: ReceivedMessage): { code: number; text: string; headers: EventHeaders } {
  const block = msg.headerBlock;
  if (block === undefined) return { code: 0, text: '', headers: emptyHeaders() };
  const line = Buffer.from(block).toString('latin1').split('\r\n', 1)[0] as string;
  const text = line.slice(VERSION.length).trim();
  return { code: Number.parseInt(text, 10) || 0, text, headers: decodeHeaders(block) ?? emptyHeaders() };
}
