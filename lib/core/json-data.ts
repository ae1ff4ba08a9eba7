declare const REFUSED: unique symbol;
/** What stands in the place of data that `emit` refuses, with its place and its kind: `"/ids is a Set"`. */
export interface CannotBeEmitted<Why extends string> {
  readonly [REFUSED]: Why;
}

/** The type itself, or `CannotBeEmitted` if it holds what JSON cannot carry (json-codec.ts). */
export type JsonData<T> = [Refusal<T, 0>] extends [never] ? T : CannotBeEmitted<Refusal<T, 0> & string>;

// Levels that are looked at: a type may hold itself.
type Next = [1, 2, 3, 4, 5, 6];

type Leaf = string | number | boolean | null | undefined | Date;
type Callable = (...args: never) => unknown;

// Paths begin at the value, not at the data, so that a type is looked at once a level, wherever it occurs.
type Refusal<T, Depth extends number> = unknown extends T
  ? never
  : T extends Leaf
    ? never
    : T extends bigint
      ? ' is a bigint'
      : T extends symbol
        ? ' is a symbol'
        : T extends Callable
          ? ' is a function'
          : T extends object
            ? RefusalOfObject<T, Depth>
            : never;

type RefusalOfObject<T extends object, Depth extends number> = T extends BuiltIn
  ? ` is ${NameOf<T>}`
  : T extends Error
    ? RefusalOfError<T, Depth>
    : T extends { toJSON: Callable }
      ? never
      : RefusalOfMembers<T, Depth>;

// Data may have a name and a message too, and a stack.
type RefusalOfError<T extends Error, Depth extends number> = 'stack' | 'cause' extends keyof T
  ? ' is an Error'
  : RefusalOfMembers<T, Depth>;

type RefusalOfMembers<T extends object, Depth extends number> = Next[Depth] extends number
  ? T extends readonly (infer E)[]
    ? Under<'*', Refusal<E, Next[Depth]>>
    : { [K in keyof T]-?: RefusalOfMember<K, T[K], Next[Depth]> }[keyof T]
  : never;

// The methods of a class are left out, as by JSON: the types of both functions and methods are the same.
type RefusalOfMember<K, T, Depth extends number> = K extends string | number
  ? NonNullable<T> extends Callable
    ? never
    : Under<K, Refusal<T, Depth>>
  : never;

type Under<K extends string | number, R extends string> = [R] extends [never] ? never : `/${K}${R}`;

/* eslint-disable @typescript-eslint/no-explicit-any */
type BuiltIn =
  | ReadonlyMap<any, any>
  | ReadonlySet<any>
  | WeakMap<any, any>
  | WeakSet<any>
  | ArrayBufferView
  | ArrayBuffer
  | SharedArrayBuffer
  | RegExp
  | PromiseLike<any>;

type NameOf<T> =
  T extends ReadonlyMap<any, any>
    ? 'a Map'
    : T extends ReadonlySet<any>
      ? 'a Set'
      : T extends ArrayBufferView
        ? 'a Buffer or typed array'
        : T extends ArrayBuffer | SharedArrayBuffer
          ? 'an ArrayBuffer'
          : T extends PromiseLike<any>
            ? 'a Promise'
            : T extends RegExp
              ? 'a RegExp'
              : 'a WeakMap or WeakSet';
/* eslint-enable @typescript-eslint/no-explicit-any */
