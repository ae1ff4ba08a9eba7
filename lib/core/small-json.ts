import { types } from 'node:util';
import { pointerToken } from './date-paths';
import { formatIsoTime } from './iso-time';
import { isEmptyDisguise, plainKindOf } from './plain-kind';

/** Data as JSON, all of it ASCII, and where its Dates are, see date-paths.ts. */
export interface SmallJson {
  readonly text: string;
  readonly paths: readonly string[];
}

/** Of larger data, and of longer texts, `JSON.stringify` is as fast. */
const MAX_BYTES = 1024;
const MAX_TEXT = 100;
/** What a number, a word or a few signs can take beyond that before it is noticed. */
const ROOM = 64;
/** Where all ends that is not for us to write. Not an exception: one takes as long as several events. */
const BEYOND = MAX_BYTES + 1;

const QUOTE = 34;
const COMMA = 44;
const ZERO = 48;
const COLON = 58;
const OPENING_BRACKET = 91;
const BACKSLASH = 92;
const CLOSING_BRACKET = 93;
const OPENING_BRACE = 123;
const CLOSING_BRACE = 125;

const NO_PATHS: string[] = [];

const buffer = Buffer.allocUnsafeSlow(MAX_BYTES + ROOM);
/** Paths to the Dates that are written, from the value that is being written. */
let paths = NO_PATHS;
let isBusy = false;

/**
 * Writes what most events are: small and plain, ASCII without anything to escape, Dates in objects at most. Two thirds of what it
 * takes to find the Dates first and have `JSON.stringify` write the rest, which on Node 20 is slow with short texts.
 * @returns `undefined` of anything else, and while a getter of such data runs
 */
export function writeSmallJson(data: unknown): SmallJson | undefined {
  // `for … in` would tell of these keys in every object.
  if (isBusy || Object.keys(Object.prototype).length > 0) return undefined;
  isBusy = true;
  paths = NO_PATHS;
  try {
    const end = writeValue(data, 0);
    return end > MAX_BYTES ? undefined : { text: buffer.toString('latin1', 0, end), paths };
  } catch {
    return undefined;
  } finally {
    isBusy = false;
  }
}

/** As all that follow: from `at` on. @returns where it ends; BEYOND, or more, if it cannot. @throws what a getter throws */
function writeValue(value: unknown, at: number): number {
  // Also where an object is within itself.
  if (at > MAX_BYTES) return BEYOND;
  if (typeof value === 'string') return writeText(value, at);
  if (typeof value === 'number') return writeNumber(value, at);
  if (value === null || typeof value === 'boolean') return writeSigns(String(value), at);
  if (typeof value !== 'object') return BEYOND;
  switch (plainKindOf(value)) {
    case 'object':
      return writeObject(value as Record<string, unknown>, at);
    case 'array':
      return writeArray(value as unknown[], at);
    case 'date':
      return writeDate(value as Date, at);
    case 'instance':
      return types.isBoxedPrimitive(value) ? BEYOND : writeInstance(value as Record<string, unknown>, at);
    default:
      // Of those without a prototype, some are raw JSON.
      return BEYOND;
  }
}

function writeObject(source: Record<string, unknown>, start: number): number {
  let at = start;
  for (const key in source) {
    at = writeMember(source, key, start, at);
    if (at > MAX_BYTES) return BEYOND;
  }
  return writeEnd(source, start, at);
}

/** Its prototype may have keys too. */
function writeInstance(source: Record<string, unknown>, start: number): number {
  let at = start;
  for (const key of Object.keys(source)) {
    at = writeMember(source, key, start, at);
    if (at > MAX_BYTES) return BEYOND;
  }
  return writeEnd(source, start, at);
}

/** @param start where the object begins */
function writeMember(source: Record<string, unknown>, key: string, start: number, at: number): number {
  const value = source[key];
  if (value === undefined) return at;
  buffer[at] = at === start ? OPENING_BRACE : COMMA;
  const colon = writeText(key, at + 1);
  buffer[colon] = COLON;
  const known = paths.length;
  const end = writeValue(value, colon + 1);
  for (let found = known; found < paths.length; found++)
    paths[found] = pointerToken(key) + (paths[found] as string);
  return end;
}

function writeEnd(source: object, start: number, end: number): number {
  let at = end;
  if (at === start) {
    if (isEmptyDisguise(source)) return BEYOND;
    buffer[at++] = OPENING_BRACE;
  }
  buffer[at] = CLOSING_BRACE;
  return at + 1;
}

/** Dates in arrays are told of by slot, or of all slots at once: not here. */
function writeArray(slots: readonly unknown[], start: number): number {
  const known = paths.length;
  let at = start;
  buffer[at++] = OPENING_BRACKET;
  for (let slot = 0; slot < slots.length; slot++) {
    if (slot > 0) buffer[at++] = COMMA;
    at = writeValue(slots[slot], at);
    if (at > MAX_BYTES) return BEYOND;
  }
  buffer[at] = CLOSING_BRACKET;
  return paths.length > known ? BEYOND : at + 1;
}

function writeDate(date: Date, at: number): number {
  const text = formatIsoTime(date);
  if (text === undefined) return BEYOND;
  // `push` would make room for seventeen, and most events have one.
  if (paths === NO_PATHS) paths = [''];
  else paths.push('');
  return writeText(text, at);
}

function writeText(text: string, start: number): number {
  const { length } = text;
  if (length > MAX_TEXT || start > MAX_BYTES - length) return BEYOND;
  let at = start;
  buffer[at++] = QUOTE;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code < 32 || code > 126 || code === QUOTE || code === BACKSLASH) return BEYOND;
    buffer[at++] = code;
  }
  buffer[at] = QUOTE;
  return at + 1;
}

function writeNumber(value: number, start: number): number {
  if (!Number.isFinite(value)) return BEYOND;
  // Not a small integer: its digits are not for us to find.
  if ((value | 0) !== value || value < 0) return writeSigns(String(value), start);
  let digits = 1;
  for (let rest = value; rest > 9; rest = (rest / 10) | 0) digits++;
  let rest = value;
  for (let at = start + digits - 1; at >= start; at--) {
    const tenth = (rest / 10) | 0;
    buffer[at] = ZERO + rest - 10 * tenth;
    rest = tenth;
  }
  return start + digits;
}

/** ASCII, and short. */
function writeSigns(text: string, start: number): number {
  for (let index = 0; index < text.length; index++) buffer[start + index] = text.charCodeAt(index);
  return start + text.length;
}
