import {
  EXCEPTION_FILTERS_METADATA,
  GUARDS_METADATA,
  INTERCEPTORS_METADATA,
  PIPES_METADATA,
} from '@nestjs/common/constants';
import { EventsConfigurationError } from '../core/errors';
import type { Method } from './enhancers/enhanced-handler';

/** On a prototype: the methods that `@OnEvent` decorated, by name, in the order of decoration. */
const DECLARATIONS = Symbol.for('@venta/events/on-event-methods');

type Declarations = Map<string, Method[]>;

const declarationsOf = (prototype: object): Declarations | undefined =>
  Reflect.getOwnMetadata(DECLARATIONS, prototype) as Declarations | undefined;

/**
 * Remembers that a method of this prototype is a handler: another decorator may replace the function that carries the metadata.
 * @returns the function that was decorated before under this name, if there is one
 */
export function declare(prototype: object, name: string, method: Method): Method | undefined {
  let declarations = declarationsOf(prototype);
  if (declarations === undefined) {
    declarations = new Map();
    Reflect.defineMetadata(DECLARATIONS, declarations, prototype);
  }
  const methods = declarations.get(name);
  const before = methods?.at(-1);
  if (methods === undefined) declarations.set(name, [method]);
  else if (before !== method) methods.push(method);
  return before;
}

/** A handler whose function was replaced after `@OnEvent` decorated it. */
export interface ReplacedMethod {
  readonly name: string;
  /** Carries the metadata of all functions that the method has been. */
  readonly method: Method;
}

const NONE: readonly never[] = Object.freeze([]);

/**
 * The handlers of a class whose functions other decorators replaced without their metadata.
 * @throws EventsConfigurationError if a declared handler is no method any more
 */
export function replacedMethods(prototype: object, key: string | symbol): readonly ReplacedMethod[] {
  let replaced: ReplacedMethod[] | undefined;
  let seen: Set<string> | undefined;
  for (
    let each: object | null = prototype;
    each !== null && each !== Object.prototype;
    each = Object.getPrototypeOf(each) as object | null
  ) {
    const declarations = declarationsOf(each);
    if (declarations === undefined) continue;
    for (const [name, declared] of declarations) {
      if (seen?.has(name)) continue; // declared again by a class that extends this one
      (seen ??= new Set()).add(name);
      const method = replacementOf(prototype, each, name, declared, key);
      if (method !== undefined) (replaced ??= []).push({ name, method });
    }
  }
  return replaced ?? NONE;
}

function replacementOf(
  prototype: object,
  declaring: object,
  name: string,
  declared: readonly Method[],
  key: string | symbol,
): Method | undefined {
  const holder = holderOf(prototype, name);
  const descriptor = holder && Object.getOwnPropertyDescriptor(holder, name);
  const current: unknown = descriptor?.value;
  if (declared.length === 1 && current === declared[0]) return undefined;
  if (typeof current === 'function') {
    // A decorator that copies metadata has said all there is to say.
    if (declared.length === 1 && Reflect.hasMetadata(key, current)) return undefined;
    if (holder !== declaring && isOverride(holder as object, declaring, current as Method)) return undefined;
    return carrierOf(name, [...declared, current as Method]);
  }
  // A getter that binds the method to its instance gives what is called.
  if (descriptor?.get !== undefined) return holder === declaring ? carrierOf(name, declared) : undefined;
  const owner = nameOf(prototype) ?? 'a class without a name';
  throw new EventsConfigurationError(
    'OnEvent',
    `${owner}.${name} handles events, but it is no method any more: a decorator of the method or of the class removed or ` +
      'replaced it; let that decorator put a function in its place, or copy its metadata to where the method is now',
  );
}

function holderOf(prototype: object, name: string): object | undefined {
  let each: object | null = prototype;
  while (each !== null && !Object.hasOwn(each, name)) each = Object.getPrototypeOf(each) as object | null;
  return each ?? undefined;
}

/**
 * A class that overrides a handler in its own body, without `@OnEvent`, means that it does not handle events. A function that
 * a decorator assigned, or a class that a decorator put in the place of the declaring one, does not.
 */
function isOverride(holder: object, declaring: object, method: Method): boolean {
  const name = nameOf(holder);
  if (name === undefined || name === nameOf(declaring)) return false;
  const body = sourceOf((holder as { constructor: unknown }).constructor);
  return !body.startsWith('class') || body.includes(sourceOf(method));
}

const sourceOf = (value: unknown): string =>
  typeof value === 'function' ? Function.prototype.toString.call(value) : '';

function nameOf(prototype: object): string | undefined {
  const type: unknown = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value;
  const name: unknown =
    typeof type === 'function' ? Object.getOwnPropertyDescriptor(type, 'name')?.value : undefined;
  return typeof name === 'string' && name !== '' ? name : undefined;
}

/** Metadata that adds up; of other metadata the last decorator's holds. */
const LISTS: ReadonlySet<string | symbol> = new Set([
  GUARDS_METADATA,
  INTERCEPTORS_METADATA,
  PIPES_METADATA,
  EXCEPTION_FILTERS_METADATA,
]);

/** A function with the metadata of all these, the first of which was decorated first. It calls the last. */
function carrierOf(name: string, methods: readonly Method[]): Method {
  const last = methods[methods.length - 1] as Method;
  const carrier: Method = function (...args) {
    return last.apply(this, args);
  };
  Object.defineProperty(carrier, 'name', { value: name });
  for (const method of methods) {
    for (const key of Reflect.getOwnMetadataKeys(method) as (string | symbol)[]) {
      const value: unknown = Reflect.getOwnMetadata(key, method);
      const before: unknown = LISTS.has(key) ? Reflect.getOwnMetadata(key, carrier) : undefined;
      const joined =
        Array.isArray(before) && Array.isArray(value)
          ? [...new Set<unknown>([...(before as unknown[]), ...(value as unknown[])])]
          : value;
      Reflect.defineMetadata(key, joined, carrier);
    }
  }
  return carrier;
}
