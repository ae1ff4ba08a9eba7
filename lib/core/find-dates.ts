import { arrayIndex, MAX_DATE_PATHS_BYTES, MAX_DEPTH, pointerToken, pointerTokens } from './date-paths';
import { formatIsoTime } from './iso-time';
import { isEmptyDisguise, NOT_PLAIN, plainKindOf, type PlainKind } from './plain-kind';

/** The Dates in a value. */
export interface Dates {
  /** Pointers to them, relative to the value. */
  readonly paths: readonly string[];
  /**
   * What `JSON.stringify` writes the same of as of the value: a copy with their texts in their places. It would call the `toJSON`
   * of each, which took as long as all the rest of an event.
   */
  readonly written: unknown;
}

const DATE_ITSELF: readonly string[] = [''];

/**
 * Finds the Dates in data that `JSON.stringify` carries as it is; `undefined` if it holds none. `depth` is the level of the
 * value, the data's own being 1. Throws, without saying why, at whatever is not plainly JSON or a Date: a `toJSON`, a value
 * JSON cannot carry, a class with a tag of its own, more than MAX_DEPTH levels.
 */
export function findDates(value: unknown, depth: number): Dates | undefined {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return undefined;
  if (typeof value === 'number' && Number.isFinite(value)) return undefined;
  if (typeof value !== 'object') throw NOT_PLAIN;
  const kind = plainKindOf(value);
  if (kind === 'date' || kind === 'date-instance') {
    const written = writtenDate(value as Date, kind);
    if (written === undefined) throw NOT_PLAIN;
    return { paths: DATE_ITSELF, written };
  }
  if (depth > MAX_DEPTH) throw NOT_PLAIN;
  if (kind === 'array') return findInArray(value as unknown[], depth);
  const source = value as Record<string, unknown>;
  let found: FoundInObject | undefined;
  // A list of the keys is needed only where a prototype may have some too.
  if (kind === 'object') {
    for (const key in source) found = withKey(found, source, key, depth);
  } else {
    for (const key of Object.keys(source)) found = withKey(found, source, key, depth);
  }
  if (found !== undefined) return { paths: found.paths, written: withTexts(source, found) };
  if (isEmpty(source) && isEmptyDisguise(source)) throw NOT_PLAIN;
  return undefined;
}

function isEmpty(source: object): boolean {
  for (const _ in source) return false;
  return true;
}

/** `undefined` of an invalid Date. What a class of its own makes of its value may be no time at all, which JSON says as `null`. */
function writtenDate(date: Date, kind: PlainKind): string | null | undefined {
  if (kind === 'date') return formatIsoTime(date);
  return Number.isNaN(date.getTime()) ? undefined : date.toJSON();
}

interface FoundInObject {
  readonly paths: string[];
  /** The keys whose values hold Dates, and what is written for these. */
  readonly keys: string[];
  readonly values: unknown[];
}

/** What was found so far, with what is in the value of one more key. */
function withKey(
  found: FoundInObject | undefined,
  source: Record<string, unknown>,
  key: string,
  depth: number,
): FoundInObject | undefined {
  const child = source[key];
  const dates = child === undefined ? undefined : findDates(child, depth + 1);
  // `for … in` also tells of what somebody has added to Object.prototype.
  if (dates === undefined || !Object.hasOwn(source, key)) return found;
  const token = pointerToken(key);
  const paths = dates.paths === DATE_ITSELF ? [token] : dates.paths.map((path) => token + path);
  // Most events hold one Date: lists of just one, where `push` makes room for seventeen.
  if (found === undefined) return { paths, keys: [key], values: [dates.written] };
  for (const path of paths) found.paths.push(path);
  found.keys.push(key);
  found.values.push(dates.written);
  return found;
}

/** A copy, made when all has been looked at: a getter is read once to be looked at and once to be written. */
function withTexts(source: Record<string, unknown>, { keys, values }: FoundInObject): object {
  const copy = { ...source };
  // It has these keys already, `__proto__` too: this calls no setter.
  for (let at = 0; at < keys.length; at++) copy[keys[at] as string] = values[at];
  return copy;
}

function findInArray(slots: readonly unknown[], depth: number): Dates | undefined {
  let found: (Dates | undefined)[] | undefined;
  for (let index = 0; index < slots.length; index++) {
    const dates = findDates(slots[index], depth + 1);
    if (dates !== undefined) (found ??= new Array<Dates | undefined>(slots.length))[index] = dates;
  }
  if (found === undefined) return undefined;
  // Its class may have another idea of copying it.
  const written = new Array<unknown>(slots.length);
  for (let index = 0; index < slots.length; index++) {
    const dates = found[index];
    written[index] = dates === undefined ? slots[index] : dates.written;
  }
  return { paths: mergeSlotPaths(slots, found), written };
}

/**
 * The paths of an array, from those found in each slot (`found[i]`). A path is written once as `*` unless some slot
 * holds a string there, which the star would turn into a Date.
 */
function mergeSlotPaths(slots: readonly unknown[], found: readonly (Dates | undefined)[]): string[] {
  const first = found[0]?.paths;
  if (first !== undefined && allSame(found, first)) return first.map((path) => `/*${path}`);
  const holders = new Map<string, number[]>();
  found.forEach((dates, index) => {
    for (const path of dates?.paths ?? []) {
      const indexes = holders.get(path);
      if (indexes === undefined) holders.set(path, [index]);
      else indexes.push(index);
    }
  });
  // Comparing every path with every slot is only worth it where the outcome can fit into the header.
  let shortest = 0;
  for (const path of holders.keys()) shortest += `,#/*${path}`.length;
  const merged: string[] = [];
  for (const [path, indexes] of holders) {
    if (
      shortest <= MAX_DATE_PATHS_BYTES + 1 &&
      !holdsString(slots, ['*', ...(pointerTokens(path) ?? [])], 0)
    ) {
      merged.push(`/*${path}`);
    } else {
      for (const index of indexes) merged.push(`/${index}${path}`);
    }
  }
  return merged;
}

function allSame(found: readonly (Dates | undefined)[], first: readonly string[]): boolean {
  for (let slot = 1; slot < found.length; slot++) {
    const paths = found[slot]?.paths;
    if (paths === first) continue;
    if (paths?.length !== first.length) return false;
    for (let at = 0; at < first.length; at++) if (paths[at] !== first[at]) return false;
  }
  return true;
}

function holdsString(value: unknown, tokens: readonly string[], at: number): boolean {
  const token = tokens[at];
  if (token === undefined) return typeof value === 'string';
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) {
    if (token === '*') return value.some((slot) => holdsString(slot, tokens, at + 1));
    return holdsString(value[arrayIndex(token)], tokens, at + 1);
  }
  return (
    Object.hasOwn(value, token) && holdsString((value as Record<string, unknown>)[token], tokens, at + 1)
  );
}
