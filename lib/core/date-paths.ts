import { parseIsoTime } from './iso-time';

// The value of the header `ce-datepaths`: JSON Pointers in their URI fragment form (RFC 6901, section 6), separated by
// commas: `#/placedAt,#/items/*/shippedAt`, and `#` where the data itself is a Date. A comma in a key is `%2C`. A token
// `*` met at an array stands for every slot; met at an object it is the key `*`.

/** Levels of objects and arrays an event's data may have; the data itself is the first. */
export const MAX_DEPTH = 1000;

/** Bytes a `ce-datepaths` value may have. */
export const MAX_DATE_PATHS_BYTES = 4096;

/** A date that ISO 8601 and RFC 3339 agree on: with a time and an offset. */
const DATE_TIME = /^(?:\d{4}|[+-]\d{6})-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/;

// With more paths than this into one object, it may well have fewer keys than there are paths.
const FEW = 4;

/** One token as it stands in a JSON Pointer, with the slash in front. */
export function pointerToken(key: string): string {
  if (!key.includes('~') && !key.includes('/')) return `/${key}`;
  return `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** `undefined` for a string that is not a JSON Pointer. */
export function pointerTokens(pointer: string): string[] | undefined {
  const [root, ...tokens] = pointer.split('/');
  if (root !== '' || /~(?![01])/.test(pointer)) return undefined;
  return tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The index a token names in an array; `-1` for none (`01`, `-`, `length`). */
export function arrayIndex(token: string): number {
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
 * not fit stays as it is, and so does what is beyond the budget, which each key, slot and value that is looked at is charged to.
 * Only own properties are followed. A value is visited once per path that leads to it.
 */
export function reviveDates(value: unknown, tree: DatePathTree, budget: Budget): unknown {
  budget.left -= typeof value === 'string' ? COST_OF_A_DATE : 1;
  if (budget.left < 0) return value;
  if (typeof value === 'string') return tree.isDate ? toDate(value) : value;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) reviveSlots(value, tree.children, budget);
  else reviveKeys(value as Record<string, unknown>, tree.children, budget);
  return value;
}

type Children = DatePathTree['children'];

function reviveSlots(slots: unknown[], children: Children, budget: Budget): void {
  const star = children.get('*');
  if (star !== undefined) {
    for (let slot = 0; slot < slots.length && budget.left >= 0; slot++)
      slots[slot] = reviveDates(slots[slot], star, budget);
    if (children.size === 1) return;
  }
  budget.left -= Math.min(slots.length, children.size);
  if (slots.length < children.size) {
    for (let slot = 0; slot < slots.length && budget.left >= 0; slot++) {
      const child = children.get(String(slot));
      if (child !== undefined) slots[slot] = reviveDates(slots[slot], child, budget);
    }
    return;
  }
  for (const [token, child] of children) {
    if (budget.left < 0) return;
    const slot = arrayIndex(token);
    if (slot >= 0 && slot < slots.length) slots[slot] = reviveDates(slots[slot], child, budget);
  }
}

function reviveKeys(keyed: Record<string, unknown>, children: Children, budget: Budget): void {
  const keys = children.size > FEW ? Object.keys(keyed) : undefined;
  if (keys !== undefined && keys.length < children.size) {
    budget.left -= keys.length;
    for (const key of keys) {
      if (budget.left < 0) return;
      const child = children.get(key);
      if (child !== undefined) keyed[key] = reviveDates(keyed[key], child, budget);
    }
    return;
  }
  // Making the list of keys took as long as looking at each.
  budget.left -= keys === undefined ? children.size : keys.length;
  for (const [key, child] of children) {
    if (budget.left < 0) return;
    if (Object.hasOwn(keyed, key)) keyed[key] = reviveDates(keyed[key], child, budget);
  }
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
