import { formatIsoTime, parseIsoTime } from './iso-time';
// The value of the header `ce-datepaths`: JSON Pointers in their URI fragment form (RFC 6901, section 6), separated by
// commas: `#/placedAt,#/items/*/shippedAt`, and `#` where the data itself is a Date. A comma in a key is `%2C`. A token
// `*` met at an array stands for every slot; met at an object it is the key `*`.

/** Levels of objects and arrays an event's data may have; the data itself is the first. */
export const MAX_DEPTH = 1000;

/** Bytes a `ce-datepaths` value may have. */
export const MAX_DATE_PATHS_BYTES = 4096;

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

/** A date that ISO 8601 and RFC 3339 agree on: with a time and an offset. */
const DATE_TIME = /^(?:\d{4}|[+-]\d{6})-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/;

// From so many paths into one object or array on, it may well have fewer keys than there are paths.
const MANY = 16;

/** One token as it stands in a JSON Pointer, with the slash in front. */
export function pointerToken(key: string): string {
  if (!key.includes('~') && !key.includes('/')) return `/${key}`;
  return `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** `undefined` for a string that is not a JSON Pointer. */
function pointerTokens(pointer: string): string[] | undefined {
  const [root, ...tokens] = pointer.split('/');
  if (root !== '' || /~(?![01])/.test(pointer)) return undefined;
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The index a token names in an array; `-1` for none (`01`, `-`, `length`). */
function arrayIndex(token: string): number {
  return /^(?:0|[1-9]\d*)$/.test(token) ? Number(token) : -1;
}

/** @throws URIError for a key with half of a surrogate pair, which has no UTF-8 */
export function formatDatePaths(paths: readonly string[]): string {
  let header = '';
  for (const path of paths) header += `${header === '' ? '#' : ',#'}${fragment(path)}`;
  return header;
}

function fragment(pointer: string): string {
  return /^[\w/*~.-]*$/.test(pointer) ? pointer : encodeURIComponent(pointer).replaceAll('%2F', '/');
}

// Made once: taking a stack trace would cost more than the walk.
const NOT_PLAIN = new Error('not plain JSON');

const DATE_ITSELF: readonly string[] = [''];
// As they are at the start: a test may put another Date in their place.
const { prototype: DATE } = Date;
const { toJSON: dateToJson, toISOString: dateToIso } = DATE as unknown as Record<string, unknown>;

/**
 * Finds the Dates in data that `JSON.stringify` carries as it is; `undefined` if it holds none. `depth` is the level of the
 * value, the data's own being 1. Throws, without saying why, at whatever is not plainly JSON or a Date: a `toJSON`, a value
 * JSON cannot carry, a class with a tag of its own, more than MAX_DEPTH levels.
 */
export function findDates(value: unknown, depth: number): Dates | undefined {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return undefined;
  if (typeof value === 'number' && Number.isFinite(value)) return undefined;
  if (typeof value !== 'object') throw NOT_PLAIN;
  const prototype: unknown = Object.getPrototypeOf(value);
  const source = value as Record<string, unknown>;
  if (prototype !== Object.prototype && prototype !== null) {
    const tag = Array.isArray(value) ? undefined : Object.prototype.toString.call(value);
    if (tag === '[object Date]') {
      if (source.toJSON !== dateToJson || source.toISOString !== dateToIso) throw NOT_PLAIN;
      const written = writtenDate(value as Date, prototype);
      if (written === undefined) throw NOT_PLAIN;
      return { paths: DATE_ITSELF, written };
    }
    // A prototype can make its objects something to call or await without giving them a tag of their own.
    if (tag !== undefined && tag !== '[object Object]') throw NOT_PLAIN;
    if (tag !== undefined && (value instanceof Error || typeof source.then === 'function')) throw NOT_PLAIN;
  }
  if (depth > MAX_DEPTH || typeof source.toJSON === 'function') throw NOT_PLAIN;
  if (Array.isArray(value)) return findInArray(value, depth);
  let found: FoundInObject | undefined;
  // A list of the keys is needed only where a prototype may have some too.
  if (prototype === Object.prototype) {
    for (const key in source) found = withKey(found, source, key, depth);
  } else {
    for (const key of Object.keys(source)) found = withKey(found, source, key, depth);
  }
  return found === undefined ? undefined : { paths: found.paths, written: withTexts(source, found) };
}

/** `undefined` of an invalid Date. What a class of its own makes of its value may be no time at all, which JSON says as `null`. */
function writtenDate(date: Date, prototype: unknown): string | null | undefined {
  if (prototype === DATE) return formatIsoTime(date);
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
  const all = found ?? { paths: [], keys: [], values: [] };
  const token = pointerToken(key);
  for (const path of dates.paths) all.paths.push(token + path);
  all.keys.push(key);
  all.values.push(dates.written);
  return all;
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

/** The paths of one header value, ready to be walked together with a parsed body. */
export interface DatePathTree {
  readonly children: Map<string, DatePathTree>;
  isDate: boolean;
}

function newTree(): DatePathTree {
  return { children: new Map(), isDate: false };
}

/** `undefined` for a header value that is too long or malformed: it came over the wire, so it is ignored. */
export function compileDatePaths(header: string): DatePathTree | undefined {
  if (header.length > MAX_DATE_PATHS_BYTES) return undefined;
  const root = newTree();
  for (const fragment of header.split(',')) {
    const tokens = fragmentTokens(fragment);
    if (tokens === undefined) return undefined;
    let node = root;
    for (const token of tokens) {
      let child = node.children.get(token);
      if (child === undefined) node.children.set(token, (child = newTree()));
      node = child;
    }
    node.isDate = true;
  }
  return root;
}

function fragmentTokens(fragment: string): string[] | undefined {
  if (!fragment.startsWith('#')) return undefined;
  try {
    return pointerTokens(decodeURIComponent(fragment.slice(1)));
  } catch {
    return undefined;
  }
}

/** What a revival may still cost. Paths made for it lead to one place many times; a sender's own never do. */
export interface Budget {
  left: number;
}

/** In visits: twice the least bytes that a date takes in a body, since a body's budget is twice its length. */
const COST_OF_A_DATE = 40;

/**
 * Puts Dates where the tree says and a date-time string stands, in place, and returns the value; whatever a path does
 * not fit stays as it is, and so does what is beyond the budget. Only own properties are followed. A value is visited
 * once per path that leads to it.
 */
export function reviveDates(value: unknown, tree: DatePathTree, budget: Budget): unknown {
  budget.left -= typeof value === 'string' ? COST_OF_A_DATE : 1;
  if (budget.left < 0) return value;
  if (typeof value === 'string') return tree.isDate ? toDate(value) : value;
  if (typeof value !== 'object' || value === null) return value;
  const { children } = tree;
  if (Array.isArray(value)) {
    const slots: unknown[] = value;
    const star = children.get('*');
    if (star !== undefined) {
      for (let index = 0; index < slots.length; index++)
        slots[index] = reviveDates(slots[index], star, budget);
    }
  }
  const keyed = value as Record<string, unknown>;
  const keys = children.size > MANY ? Object.keys(keyed) : undefined;
  if (keys !== undefined && keys.length < children.size) {
    for (const key of keys) {
      const child = children.get(key);
      if (child !== undefined) keyed[key] = reviveDates(keyed[key], child, budget);
    }
  } else {
    for (const [key, child] of children) {
      if (Object.hasOwn(keyed, key)) keyed[key] = reviveDates(keyed[key], child, budget);
    }
  }
  return value;
}

/** The text itself when it is no date: wrong form, or a day its month does not have. */
function toDate(text: string): Date | string {
  const ms = parseIsoTime(text);
  if (ms !== undefined) return new Date(ms);
  if (!DATE_TIME.test(text)) return text;
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  // V8 lets 30 February roll over into March.
  const end = text.indexOf('T');
  const day = Number(text.slice(end - 2, end));
  return day > 28 && new Date(text.slice(0, end)).getUTCDate() !== day ? text : date;
}
