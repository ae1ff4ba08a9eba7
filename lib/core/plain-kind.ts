/**
 * Thrown, without saying why, at what is not plainly JSON or a Date: then another way is taken, which finds out. Made once: taking a
 * stack trace would cost more than all the rest.
 */
export const NOT_PLAIN = new Error('not plain JSON');

// As they are at the start: a test may put another Date in their place.
const { prototype: DATE } = Date;
const { toJSON: dateToJson, toISOString: dateToIso } = DATE as unknown as Record<string, unknown>;

/** `instance`, of a class, is written as `object` is, of its own keys alone; `date` as the language has it, or of a class of its own. */
export type PlainKind = 'object' | 'instance' | 'array' | 'date' | 'date-instance';

/** What an object is to `JSON.stringify`. @throws NOT_PLAIN if it has a `toJSON`, a tag of its own, or is an Error or to be awaited */
export function plainKindOf(value: object): PlainKind {
  const prototype: unknown = Object.getPrototypeOf(value);
  const { toJSON } = value as { toJSON?: unknown };
  if (prototype === Object.prototype || prototype === null) return withoutToJson(toJSON, 'object');
  if (Array.isArray(value)) return withoutToJson(toJSON, 'array');
  const tag = Object.prototype.toString.call(value);
  if (tag === '[object Date]') {
    if (toJSON !== dateToJson || (value as Date).toISOString !== dateToIso) throw NOT_PLAIN;
    return prototype === DATE ? 'date' : 'date-instance';
  }
  // A prototype can make its objects something to call or await without giving them a tag of their own.
  const { then } = value as { then?: unknown };
  if (tag !== '[object Object]' || value instanceof Error || typeof then === 'function') throw NOT_PLAIN;
  return withoutToJson(toJSON, 'instance');
}

function withoutToJson(toJson: unknown, kind: PlainKind): PlainKind {
  if (typeof toJson === 'function') throw NOT_PLAIN;
  return kind;
}
