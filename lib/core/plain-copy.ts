import { types } from 'node:util';
import { MAX_DEPTH, pointerToken } from './date-paths';
import { EventSerializationError } from './errors';
import { printable } from './printable';

type Refusal = readonly [is: (value: object) => boolean, name: string, remedy: string];

const BYTES = "send a base64 string: Buffer.from(bytes).toString('base64')";
const FIELDS = 'send the fields that matter as a plain object';

// Asked in this order; types.is... also holds for subclasses and for values of another realm.
const REFUSED: readonly Refusal[] = [
  [types.isDate, 'an Invalid Date', 'send a valid Date or null'],
  [types.isMap, 'a Map', 'send Object.fromEntries(map), or an array of its entries'],
  [types.isSet, 'a Set', 'send an array: [...set]'],
  [types.isRegExp, 'a RegExp', 'send its source as a string'],
  [(value) => types.isNativeError(value) || value instanceof Error, 'an Error', FIELDS],
  [types.isDataView, 'a DataView', BYTES],
  [types.isTypedArray, 'a Buffer or typed array', BYTES],
  [types.isAnyArrayBuffer, 'an ArrayBuffer', BYTES],
  [types.isWeakMap, 'a WeakMap', FIELDS],
  [types.isWeakSet, 'a WeakSet', FIELDS],
  [types.isSymbolObject, 'a symbol', 'send its description as a string'],
  [types.isBigIntObject, 'a bigint', 'send a string: String(value)'],
];

function isThenable(value: object): boolean {
  return types.isPromise(value) || typeof (value as { then?: unknown }).then === 'function';
}

/** Whether JSON sees the standard ISO string, whatever realm the Date comes from. */
function isStandardDate(value: Date): boolean {
  const { toJSON, toISOString } = value as unknown as Record<string, unknown>;
  return isNative(toJSON, 'toJSON') && isNative(toISOString, 'toISOString');
}

function isNative(method: unknown, name: string): boolean {
  if (typeof method !== 'function' || method.name !== name) return false;
  return Function.prototype.toString.call(method).endsWith('{ [native code] }');
}

/** A path for a message: hostile or deep ones are cut. */
export function shortened(path: string): string {
  if (path === '') return 'the data';
  return printable(path, 200);
}

/**
 * The slow path: a copy of plain objects, arrays, primitives and Dates in which every `toJSON` has been called, once
 * and as `JSON.stringify` would; or the error that names what stood in the way.
 */
export class PlainCopy {
  private readonly path: string[] = [];
  private readonly ancestors = new Set<object>();

  /** @throws EventSerializationError */
  static of(data: unknown): unknown {
    const copying = new PlainCopy();
    try {
      const copy = copying.copy(data, '');
      if (copy === undefined) copying.refuse('undefined', 'send null, or an object');
      return copy;
    } catch (cause) {
      if (cause instanceof EventSerializationError) throw cause;
      // A level is left only when it went well, so the path still leads to the culprit.
      throw copying.error('cannot be read', 'its getter or toJSON threw, see the cause', { cause });
    }
  }

  private copy(original: unknown, key: string): unknown {
    const value = resolveToJson(original, key);
    if (typeof value !== 'object' && typeof value !== 'function') return this.copyPrimitive(value);
    if (value === null) return null;
    if (typeof value === 'function') this.refuse('a function', 'send what it returns, or leave it out');
    if (types.isNumberObject(value)) return this.copyPrimitive(Number(value));
    if (types.isStringObject(value)) return String(value);
    if (types.isBooleanObject(value)) return Boolean.prototype.valueOf.call(value);
    if (types.isDate(value)) {
      const time = Date.prototype.getTime.call(value);
      if (!Number.isNaN(time)) return new Date(time);
    }
    if (isThenable(value)) this.refuse('a Promise', 'did you forget to await it?');
    if (!Array.isArray(value)) this.refuseBuiltIn(value);
    if (this.ancestors.has(value)) {
      this.refuse('a cycle (an object that holds itself)', "send the object's id instead");
    }
    if (this.ancestors.size === MAX_DEPTH) {
      throw this.error(`is nested deeper than ${MAX_DEPTH} levels`, 'send a flatter structure');
    }
    this.ancestors.add(value);
    const copy = Array.isArray(value) ? this.copySlots(value) : this.copyProperties(value);
    this.ancestors.delete(value);
    return copy;
  }

  private copyPrimitive(value: unknown): unknown {
    if (typeof value === 'bigint') this.refuse('a bigint', 'send a string: String(value)');
    if (typeof value === 'symbol') this.refuse('a symbol', 'send its description as a string');
    if (typeof value === 'number' && !Number.isFinite(value)) {
      this.refuse(String(value), 'send a finite number or null');
    }
    return value;
  }

  private copySlots(slots: readonly unknown[]): unknown[] {
    const copies: unknown[] = [];
    for (let index = 0; index < slots.length; index++) {
      this.path.push(String(index));
      const copy = this.copy(slots[index], String(index));
      if (copy === undefined) {
        this.refuse(
          index in slots ? 'undefined' : 'a hole in a sparse array',
          'send null, or leave the element out',
        );
      }
      copies.push(copy);
      this.path.pop();
    }
    return copies;
  }

  private copyProperties(value: object): Record<string, unknown> {
    const copies: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      this.path.push(key);
      const property = (value as Record<string, unknown>)[key];
      // An object's own toJSON has been called by now, and JSON leaves the method itself out.
      const copy = key === 'toJSON' && typeof property === 'function' ? undefined : this.copy(property, key);
      if (key === '__proto__') Object.defineProperty(copies, key, { value: copy, enumerable: true });
      else if (copy !== undefined) copies[key] = copy;
      this.path.pop();
    }
    return copies;
  }

  private refuseBuiltIn(value: object): void {
    for (const [is, name, remedy] of REFUSED) if (is(value)) this.refuse(name, remedy);
    // Iterators, WeakRef, URLSearchParams, Headers, Blob...: JSON would send `{}`.
    const tag = Object.prototype.toString.call(value).slice('[object '.length, -1);
    if (tag !== 'Object' && Object.keys(value).length === 0) {
      this.refuse(`a ${tag} without properties`, 'send its content as a plain object, array or string');
    }
  }

  private refuse(what: string, remedy: string): never {
    throw this.error(`is ${what}, which JSON cannot carry`, remedy);
  }

  private error(problem: string, remedy: string, options?: { cause: unknown }): EventSerializationError {
    const path = this.path.map(pointerToken).join('');
    return new EventSerializationError(path, `${shortened(path)} ${problem}: ${remedy}`, options);
  }
}

/** The value JSON sees; bytes and standard Dates are looked at themselves. */
function resolveToJson(value: unknown, key: string): unknown {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return value;
  if (types.isArrayBufferView(value) || (types.isDate(value) && isStandardDate(value))) return value;
  const method = (value as { toJSON?: unknown }).toJSON;
  return typeof method === 'function' ? (method.call(value, key) as unknown) : value;
}
