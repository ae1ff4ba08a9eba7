import { isAscii, isUtf8 } from 'node:buffer';
import {
  compileDatePaths,
  type DatePathTree,
  formatDatePaths,
  MAX_DATE_PATHS_BYTES,
  MAX_DEPTH,
  reviveDates,
} from './date-paths';
import { EventsError, EventSerializationError } from './errors';
import { integersAsTexts } from './exact-integers';
import { findDates } from './find-dates';
import { PlainCopy, shortened } from './plain-copy';
import { writeSmallJson } from './small-json';
import { TextMemo } from './text-memo';

export { MAX_DEPTH };

const BYTE_ORDER_MARK = '\ufeff';
const LONE_SURROGATE = /\p{Cs}/u;
const MAX_REMEMBERED = 500;
const MAX_REMEMBERED_LENGTH = 512;
/** Where all events are none of the small, one in 32 is tried: what is written of it in vain then costs next to nothing. */
const MAX_UNTRIED = 31;

/** Data as JSON, made into bytes whenever somebody wants them. */
export class EncodedData {
  /** Bytes of it in UTF-8. */
  readonly length: number;

  /** @param length of the text in UTF-8, if it is known */
  constructor(
    readonly text: string,
    /** Value of the header `ce-datepaths`, see date-paths.ts; `undefined` when the data holds no Date. */
    readonly datePaths: string | undefined,
    length = Buffer.byteLength(text),
  ) {
    this.length = length;
  }

  /** UTF-8 JSON. */
  get body(): Uint8Array {
    return Buffer.from(this.text, 'utf8');
  }
}

/**
 * Event data as plain JSON, with the places of its Dates beside it.
 *
 * As in `JSON.stringify`: `toJSON` is honoured, undefined properties, symbol keys and extra properties of arrays are
 * left out, -0 becomes 0, boxed primitives become primitives, a class instance arrives as a plain object. Everything
 * else JSON would change is refused.
 */
export class JsonCodec {
  /** By header; `null` of a malformed one. */
  private readonly trees = new TextMemo<DatePathTree | null>(MAX_REMEMBERED);
  /** So many events are not tried as small ones before the next is, and so many were not after the last that was none. */
  private untried = 0;
  private lastUntried = 0;

  /**
   * Leaves the data as it is. Getters may be read several times.
   * @throws EventSerializationError naming the first value JSON cannot carry
   */
  encode(data: unknown): EncodedData {
    try {
      return this.encodeSmall(data) ?? encodePlain(data);
    } catch (error) {
      if (error instanceof EventSerializationError) throw error;
    }
    const copy = PlainCopy.of(data);
    try {
      return encodePlain(copy);
    } catch (cause) {
      if (cause instanceof EventSerializationError) throw cause;
      const remedy = 'send less of it, with whole characters in its keys';
      throw new EventSerializationError('', `the data could not be written, see the cause: ${remedy}`, {
        cause,
      });
    }
  }

  /**
   * @returns `undefined` of what is not small and plain. Others like it are likely to follow, and trying them is in vain: the more of
   * them there are, the fewer are tried
   */
  private encodeSmall(data: unknown): EncodedData | undefined {
    if (this.untried > 0) {
      this.untried--;
      return undefined;
    }
    const small = writeSmallJson(data);
    this.lastUntried = small === undefined ? Math.min(2 * this.lastUntried + 1, MAX_UNTRIED) : 0;
    this.untried = this.lastUntried;
    if (small === undefined) return undefined;
    const { text, paths } = small;
    return new EncodedData(text, paths.length === 0 ? undefined : datePathsOf(paths), text.length);
  }

  /** @throws EventsError `undecodable`; date paths that do not fit the body are ignored */
  decode(body: Uint8Array | string, datePaths: string | undefined): unknown {
    const value = this.parse(body);
    return datePaths === undefined ? value : this.reviveDates(value, datePaths, 2 * body.length + 1000);
  }

  /** As `parseJson`. */
  parse(body: Uint8Array | string): unknown {
    return parseJson(body);
  }

  /**
   * Changes the value in place and returns it (a Date for the root path). Never throws.
   * @param budget places to look at, a date counting for 40; what is beyond stays a string. Default: a million.
   */
  reviveDates(value: unknown, datePaths: string, budget = 1_000_000): unknown {
    const tree = this.treeOf(datePaths);
    return tree === undefined ? value : reviveDates(value, tree, { left: budget });
  }

  private treeOf(header: string): DatePathTree | undefined {
    if (header.length > MAX_DATE_PATHS_BYTES) return undefined;
    const known = this.trees.get(header);
    if (known !== undefined) return known ?? undefined;
    const tree = compileDatePaths(header);
    // A compiled path takes far more memory than its text; long headers are rare, or meant to fill it.
    if (header.length <= MAX_REMEMBERED_LENGTH) this.trees.set(header, tree ?? null);
    return tree;
  }
}

/** Told when a body has integers that a number would round. */
export interface InexactSink {
  inexact: boolean;
}

/**
 * Integers that a number would round are texts in the value.
 * @param body a string must be ASCII
 * @throws EventsError `undecodable`, without a word of the body, which may be confidential
 */
export function parseJson(body: Uint8Array | string, sink?: InexactSink): unknown {
  if (body.length === 0) throw new EventsError('undecodable', 'the body is empty');
  if (body.length > 2 * MAX_DEPTH && isTooDeep(bytesOf(body))) {
    throw new EventsError('undecodable', `the body is nested deeper than ${MAX_DEPTH} levels`);
  }
  const text = typeof body === 'string' ? body : utf8Of(bytesOf(body));
  const json = text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new EventsError('undecodable', 'the body is not JSON');
  }
  const exact = integersAsTexts(json);
  if (exact === undefined) return value;
  if (sink !== undefined) sink.inexact = true;
  return JSON.parse(exact);
}

export const bytesOf = (body: Uint8Array | string): Buffer =>
  typeof body === 'string'
    ? Buffer.from(body, 'latin1')
    : Buffer.from(body.buffer, body.byteOffset, body.byteLength);

export function utf8Of(bytes: Buffer): string {
  if (isAscii(bytes)) return bytes.toString('latin1');
  if (!isUtf8(bytes)) throw new EventsError('undecodable', 'the body is not UTF-8');
  return bytes.toString('utf8');
}

function isTooDeep(body: Uint8Array): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < body.length; at++) {
    const byte = body[at];
    if (inString) {
      if (byte === 0x5c) at++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > MAX_DEPTH) return true;
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return false;
}

function encodePlain(data: unknown): EncodedData {
  const dates = findDates(data, 1);
  if (dates === undefined) return new EncodedData(JSON.stringify(data), undefined);
  return new EncodedData(JSON.stringify(dates.written), datePathsOf(dates.paths));
}

function datePathsOf(paths: readonly string[]): string {
  const broken = paths.find((path) => LONE_SURROGATE.test(path));
  if (broken !== undefined) {
    const why = 'a key on its way has half of a surrogate pair, which a header cannot carry';
    throw new EventSerializationError(
      broken,
      `${shortened(broken)} is a Date, and ${why}: send it as an ISO string, with whole characters in its keys`,
    );
  }
  const datePaths = formatDatePaths(paths);
  if (datePaths.length <= MAX_DATE_PATHS_BYTES) return datePaths;
  const first = paths[0] ?? '';
  throw new EventSerializationError(
    first,
    `the paths of the Dates, from ${shortened(first)} on, take ${datePaths.length} bytes and ` +
      `${MAX_DATE_PATHS_BYTES} are allowed: send these dates as ISO strings, or see to it that no slot of an array ` +
      `holds a string where another holds a Date`,
  );
}
