import { DiscoveryService, type DiscoveredClass } from '@golevelup/nestjs-discovery';
import type { Type } from '@nestjs/common';
import type { MetadataScanner, ModulesContainer } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper';
import type { Module } from '@nestjs/core/injector/module';
import { EventsConfigurationError } from '../core/errors';
import type { Method } from './enhancers/enhanced-handler';
import type { HandlerOwner } from './handler-binder';

// Loops over handlers are `forEach`: in code that has just started, `for … of` makes two objects a step.

/** Told of the decorated methods of a class, as it declares them, and of what decorates them. */
export type Found<T> = (owner: HandlerOwner, methods: readonly DecoratedMethod<T>[]) => void;

/** As golevelup's discovery describes it. */
export interface DecoratedMethod<T> {
  readonly meta: T;
  readonly discoveredMethod: { readonly methodName: string; readonly handler: Method };
}

/** A method that has the metadata, although the function that is called now has not. */
export interface RestoredMethod {
  readonly name: string;
  /** Carries the metadata. */
  readonly method: Method;
}

/** Gives the methods of a class whose functions lost their metadata. */
export type Restore = (prototype: object) => readonly RestoredMethod[];

const NOTHING_LOST: Restore = () => [];

/** Tells of the methods of providers and controllers of these modules that have metadata at `key`. Reads only. */
export function decoratedMethods<T>(
  key: string | symbol,
  modules: readonly Module[],
  found: Found<T>,
  restore: Restore = NOTHING_LOST,
): void {
  const { makers, scoped } = wrappersOf(modules);
  ofInstances(key, makers, found, restore);
  for (const { wrapper, module } of scoped) ofScoped(key, wrapper, module, found, restore);
}

function withRestored<T>(
  key: string | symbol,
  methods: readonly DecoratedMethod<T>[],
  restored: readonly RestoredMethod[],
): readonly DecoratedMethod<T>[] {
  if (restored.length === 0) return methods;
  const names = new Set(restored.map(({ name }) => name));
  return [
    ...methods.filter(({ discoveredMethod }) => !names.has(discoveredMethod.methodName)),
    ...restored.map(({ name, method }) => ({
      meta: Reflect.getMetadata(key, method) as T,
      discoveredMethod: { methodName: name, handler: method },
    })),
  ];
}

/**
 * The methods of a class and of those it extends, by name. As Nest's `MetadataScanner` finds them, whose map of names for
 * each class was half of what it took to look through a thousand methods.
 */
function methodNames(prototype: object | null): string[] {
  const names: string[] = [];
  let hidden: Set<string> | undefined;
  let each = prototype;
  while (each !== null && each !== Object.prototype) {
    const own = Object.getOwnPropertyNames(each);
    for (let i = 0; i < own.length; i++) {
      const name = own[i] as string;
      if (name !== 'constructor' && !hidden?.has(name) && isMethod(each, name)) names.push(name);
    }
    each = Object.getPrototypeOf(each) as object | null;
    // Most classes extend nothing.
    if (each !== Object.prototype) hidden = new Set([...(hidden ?? []), ...own]);
  }
  return names;
}

/** Whether it is a method. Neither a getter nor a proxy is asked for a value. */
const isMethod = (prototype: object, name: string): boolean =>
  typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === 'function';

const SCANNER = { getAllMethodNames: methodNames } as unknown as MetadataScanner;

/** Each instance is looked through once, whatever it is provided as: an alias (`useExisting`) shows it a second time. */
function ofInstances<T>(
  key: string | symbol,
  makers: ReadonlyMap<object, Maker>,
  found: Found<T>,
  restore: Restore,
): void {
  // Without the modules: it would describe all of their providers, with a promise for each, to find the same instances.
  const discovery = new DiscoveryService(new Map() as ModulesContainer, SCANNER);
  makers.forEach(({ wrapper, module }, instance) => {
    const prototype = Object.getPrototypeOf(instance) as { constructor: Type } | null;
    if (prototype === null) return;
    const marked = discovery.classMethodsWithMetaAtKey<T>({ instance } as DiscoveredClass, key);
    const methods = withRestored(key, marked, restore(prototype));
    if (methods.length === 0) return;
    const type = prototype.constructor;
    found({ wrapper, module, type, instance }, methods);
  });
}

/** Of a class that is made for each event, because it or what it depends on is, or of a transient one. */
function ofScoped<T>(
  key: string | symbol,
  wrapper: InstanceWrapper<object>,
  module: Module,
  found: Found<T>,
  restore: Restore,
): void {
  if (wrapper.isAlias) return;
  if (wrapper.isNotMetatype) return refuseMade(key, wrapper, module, restore);
  const type = wrapper.metatype as Type | null;
  const prototype = type?.prototype as Record<string, Method> | undefined;
  if (type === null || prototype === undefined || wrapper.inject != null) return;
  const marked = methodNames(prototype).flatMap((methodName) => {
    const handler = prototype[methodName] as Method;
    const meta = Reflect.getMetadata(key, handler) as T | undefined;
    return meta === undefined ? [] : { meta, discoveredMethod: { methodName, handler } };
  });
  const methods = withRestored(key, marked, restore(prototype));
  if (methods.length > 0) found({ wrapper, module, type }, methods);
}

/** What a factory makes for each event is not known before there is one: handlers in it would be passed over in silence. */
function refuseMade(
  key: string | symbol,
  { token }: InstanceWrapper,
  module: Module,
  restore: Restore,
): void {
  const prototype = (typeof token === 'function' ? token.prototype : undefined) as
    Record<string, object> | undefined;
  const names = prototype === undefined ? [] : methodNames(prototype);
  const name =
    names.find((each) => Reflect.hasMetadata(key, prototype?.[each] as object)) ??
    (prototype === undefined ? undefined : restore(prototype)[0]?.name);
  if (name === undefined) return;
  const type = (token as Type).name;
  throw new EventsConfigurationError(
    'OnEvent',
    `${type}.${name} of module ${module.metatype.name} handles events, but a factory makes ${type} for each event or each ` +
      `injection: provide the class itself (\`providers: [${type}]\`), and the factory's work in a provider it injects`,
  );
}

type Maker = Pick<HandlerOwner, 'wrapper' | 'module'>;

/**
 * Who made each instance, those of providers first: the class itself rather than an alias, a value or a factory that gives
 * the same one. And who makes instances for each event or each injection.
 */
function wrappersOf(modules: readonly Module[]): { makers: Map<object, Maker>; scoped: Maker[] } {
  const makers = new Map<object, Maker>();
  const scoped: Maker[] = [];
  const take = (wrapper: InstanceWrapper<object>, module: Module): void => {
    if (!wrapper.isDependencyTreeStatic() || wrapper.isTransient) {
      scoped.push({ wrapper, module });
      return;
    }
    const { instance } = wrapper;
    if (typeof instance !== 'object' || instance === null) return;
    const known = makers.get(instance);
    if (known === undefined || (known.wrapper.isNotMetatype && !wrapper.isNotMetatype)) {
      makers.set(instance, { wrapper, module });
    }
  };
  for (const kind of ['providers', 'controllers'] as const) {
    for (const module of modules) {
      module[kind].forEach((wrapper) => take(wrapper as InstanceWrapper<object>, module));
    }
  }
  return { makers, scoped };
}
