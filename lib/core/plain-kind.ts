import { types } from 'node:util';

/**
 * Thrown, without saying why, at what is not plainly JSON or a Date: then another way is taken, which finds out. Made once: taking a
 * stack trace would cost more than all the rest.
 */
export const NOT_PLAIN = new Error('not plain JSON');

// As they are at the start: a test may put another Date in their place.
/**
 * Whether the engine knows it for a built-in whose content JSON does not see, whatever its prototype and tag say. Slower than all the
 * rest: asked where nothing else was found, and of what is rare.
 */
export const isBuiltIn = (value: object): boolean =>
  types.isMap(value) ||
  types.isSet(value) ||
  types.isDate(value) ||
  types.isRegExp(value) ||
  types.isNativeError(value) ||
  types.isPromise(value) ||
  types.isArrayBufferView(value) ||
  types.isAnyArrayBuffer(value) ||
  types.isWeakMap(value) ||
  types.isWeakSet(value) ||
  types.isBoxedPrimitive(value) ||
  types.isMapIterator(value) ||
  types.isSetIterator(value) ||
  types.isGeneratorObject(value);

/** Whether nothing stands for it in JSON although it is not empty: `Math`, or a Map with the prototype of a plain object. */
export const isEmptyDisguise = (value: object): boolean =>
  Object.prototype.toString.call(value) !== '[object Object]' || isBuiltIn(value);

const { prototype: DATE } = Date;
const { toJSON: dateToJson, toISOString: dateToIso } = DATE as unknown as Record<string, unknown>;

/**
 * `bare` has no prototype; `instance`, of a class, is written as `object` is, of its own keys alone; `date` is as the language has
 * it, `date-instance` of a class of its own.
 */
export type PlainKind = 'object' | 'bare' | 'instance' | 'array' | 'date' | 'date-instance';

/**
 * What an object is to `JSON.stringify`, unless it is one of the language's own that hides what it is: a boxed primitive, raw JSON.
 * @throws NOT_PLAIN if it has a `toJSON` or a tag of its own, or if an instance is an Error or to be awaited
 */
export function plainKindOf(value: object): PlainKind {
  const { toJSON } = value as { toJSON?: unknown };
  if (Array.isArray(value)) return withoutToJson(toJSON, 'array');
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) return withoutToJson(toJSON, 'object');
  if (prototype === null) {
    if (isBuiltIn(value)) throw NOT_PLAIN;
    return withoutToJson(toJSON, 'bare');
  }
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
