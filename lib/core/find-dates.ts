import { arrayIndex, MAX_DATE_PATHS_BYTES, MAX_DEPTH, pointerToken, pointerTokens } from './date-paths';
import { formatIsoTime } from './iso-time';
import type { ByteBudget } from './byte-budget';
import { isEmptyDisguise, NOT_PLAIN, plainKindOf, type PlainKind } from './plain-kind';

/** Data as it is written, and the Dates in it. */
export interface Dates {
  /** Pointers to the Dates; `undefined` if there are none. */
  readonly paths: readonly string[] | undefined;
  /**
   * A copy with texts in the places of the Dates. Every property of the data is read once, so that what was checked is what
   * `JSON.stringify` writes; it would also call the `toJSON` of each Date, which takes as long as all the rest of an event.
   */
  readonly written: unknown;
}

/**
 * Copies data that `JSON.stringify` carries as it is, and finds the Dates. Throws, without saying why, at whatever is not plainly JSON
 * or a Date: a `toJSON`, a value JSON cannot carry, a class with a tag of its own, more than MAX_DEPTH levels.
 * @throws EventsError `payload_too_large` when the budget is spent
 */
export function findDates(data: unknown, budget: ByteBudget): Dates {
  const copying = new DataCopy(budget);
  const paths = copying.copy(data, 1);
  return { paths, written: copying.finish() };
}

/** Of Node 21 and newer. */
const isRawJson = (value: object): boolean =>
  (JSON as { isRawJSON?: (value: object) => boolean }).isRawJSON?.(value) === true;

const DATE_ITSELF: readonly string[] = [''];

/** Stands for each Date until all paths are known: the paths of arrays depend on which places hold strings. */
const NO_DATE_YET = Object.freeze({});

interface WrittenDate {
  readonly holder: Record<PropertyKey, unknown>;
  readonly key: PropertyKey;
  readonly text: string | null;
}

class DataCopy {
  /** What is written of the value copied last; its Dates are still missing. */
  #copied: unknown;
  /** What is written of the Date copied last. */
  #text: string | null = null;
  readonly #dates: WrittenDate[] = [];
  readonly #budget: ByteBudget;

  constructor(budget: ByteBudget) {
    this.#budget = budget;
  }

  /** Puts the texts into the places of the Dates. @returns the copy of the value copied last */
  finish(): unknown {
    for (const { holder, key, text } of this.#dates) holder[key] = text;
    return this.#copied === NO_DATE_YET ? this.#text : this.#copied;
  }

  /**
   * @param depth level of the value, the data's own being 1
   * @returns pointers to the Dates in it, relative to it; `undefined` if there are none
   */
  copy(value: unknown, depth: number): readonly string[] | undefined {
    this.#copied = value;
    if (typeof value === 'string') return this.#take(value.length + 2);
    if (typeof value === 'boolean' || value === null) return this.#take(4);
    if (typeof value === 'number' && Number.isFinite(value)) return this.#take(1);
    if (typeof value !== 'object') throw NOT_PLAIN;
    const kind = plainKindOf(value);
    if (kind === 'date' || kind === 'date-instance') {
      const text = writtenDate(value as Date, kind);
      if (text === undefined) throw NOT_PLAIN;
      this.#text = text;
      this.#copied = NO_DATE_YET;
      this.#budget.take(4);
      return DATE_ITSELF;
    }
    if (depth > MAX_DEPTH) throw NOT_PLAIN;
    this.#budget.take(1);
    // It cannot be changed, and is written as the text it holds.
    if (kind === 'bare' && isRawJson(value)) return undefined;
    return kind === 'array'
      ? this.#copySlots(value as unknown[], depth)
      : this.#copyProperties(value as Record<string, unknown>, depth);
  }

  #take(bytes: number): undefined {
    this.#budget.take(bytes);
  }

  #copyProperties(source: Record<string, unknown>, depth: number): readonly string[] | undefined {
    // Its keys become properties of its own, `__proto__` too: writing to them calls no setter.
    const copy: Record<string, unknown> = { ...source };
    let paths: string[] | undefined;
    let isEmpty = true;
    for (const key in copy) {
      const child = copy[key];
      // `for … in` also tells of what somebody has added to Object.prototype.
      if (child === undefined || !Object.hasOwn(copy, key)) continue;
      isEmpty = false;
      this.#budget.take(key.length + 4);
      const found = this.copy(child, depth + 1);
      this.#put(copy, key, child);
      if (found === undefined) continue;
      const token = pointerToken(key);
      // Most events hold one Date: a list of just one, where `push` makes room for seventeen.
      if (found === DATE_ITSELF && paths === undefined) paths = [token];
      else for (const path of found) (paths ??= []).push(token + path);
    }
    if (isEmpty && isEmptyDisguise(source)) throw NOT_PLAIN;
    this.#copied = copy;
    return paths;
  }

  #copySlots(source: readonly unknown[], depth: number): readonly string[] | undefined {
    const copy: unknown[] = [];
    let found: (readonly string[] | undefined)[] | undefined;
    for (let slot = 0; slot < source.length; slot++) {
      const child = source[slot];
      this.#budget.take(1);
      const paths = this.copy(child, depth + 1);
      copy.push(child);
      this.#put(copy as unknown as Record<PropertyKey, unknown>, slot, child);
      if (paths !== undefined) (found ??= [])[slot] = paths;
    }
    this.#copied = copy;
    return found === undefined ? undefined : mergeSlotPaths(copy, found);
  }

  /** Puts the value copied last there, in the place of what it was copied from. */
  #put(holder: Record<PropertyKey, unknown>, key: PropertyKey, child: unknown): void {
    const copied = this.#copied;
    if (copied === child) return;
    holder[key] = copied;
    if (copied === NO_DATE_YET) this.#dates.push({ holder, key, text: this.#text });
  }
}

/** `undefined` of an invalid Date. What a class of its own makes of its value may be no time at all, which JSON says as `null`. */
function writtenDate(date: Date, kind: PlainKind): string | null | undefined {
  if (kind === 'date') return formatIsoTime(date);
  return Number.isNaN(date.getTime()) ? undefined : date.toJSON();
}

/**
 * The paths of an array, from those found in each slot (`found[i]`). A path is written once as `*` unless some slot
 * holds a string there, which the star would turn into a Date.
 */
function mergeSlotPaths(
  slots: readonly unknown[],
  found: readonly (readonly string[] | undefined)[],
): string[] {
  const first = found[0];
  if (first !== undefined && found.length === slots.length && allSame(found, first))
    return first.map((path) => `/*${path}`);
  const holders = new Map<string, number[]>();
  found.forEach((paths, index) => {
    for (const path of paths ?? []) {
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

function allSame(found: readonly (readonly string[] | undefined)[], first: readonly string[]): boolean {
  for (let slot = 1; slot < found.length; slot++) {
    const paths = found[slot];
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
