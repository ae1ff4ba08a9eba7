import { DiscoveryService, type DiscoveredClass } from '@golevelup/nestjs-discovery';
import type { Type } from '@nestjs/common';
import type { MetadataScanner, ModulesContainer } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper';
import type { Module } from '@nestjs/core/injector/module';
import { EventsConfigurationError } from '../core/errors';
import type { Method } from './enhancers/enhanced-handler';
import type { HandlerPlace } from './handler-binder';

// Loops over handlers are `forEach`: in code that has just started, `for … of` makes two objects a step.

/** A method with metadata, and where Nest has it. */
export interface DecoratedMethod<T> {
  readonly place: HandlerPlace;
  readonly metadata: T;
}

/** The methods of providers and controllers of these modules that have metadata at `key`. Reads only. */
export const decoratedMethods = <T>(
  key: string | symbol,
  modules: readonly Module[],
): DecoratedMethod<T>[] => [...singletons<T>(key, modules), ...scoped<T>(key, modules)];

/**
 * The methods of a class and of those it extends, by name. As Nest's `MetadataScanner` finds them, whose map of names for
 * each class was half of what it took to look through a thousand methods.
 */
function methodNames(prototype: object | null): string[] {
  const names: string[] = [];
  const hidden = new Set(['constructor']);
  let each = prototype;
  while (each !== null && each !== Object.prototype) {
    const own = Object.getOwnPropertyNames(each);
    for (const name of own) {
      if (hidden.has(name)) continue;
      if (typeof Object.getOwnPropertyDescriptor(each, name)?.value === 'function') names.push(name);
    }
    each = Object.getPrototypeOf(each) as object | null;
    // Most classes extend nothing.
    if (each !== Object.prototype) for (const name of own) hidden.add(name);
  }
  return names;
}

const SCANNER = { getAllMethodNames: methodNames } as unknown as MetadataScanner;

/** Each instance is looked through once, whatever it is provided as: an alias (`useExisting`) shows it a second time. */
function singletons<T>(key: string | symbol, modules: readonly Module[]): DecoratedMethod<T>[] {
  // Without the modules: it would describe all of their providers, with a promise for each, to find the same instances.
  const discovery = new DiscoveryService(new Map() as ModulesContainer, SCANNER);
  const found: DecoratedMethod<T>[] = [];
  ownersOf(modules).forEach(({ wrapper, module }, instance) => {
    const methods = discovery.classMethodsWithMetaAtKey<T>({ instance } as DiscoveredClass, key);
    if (methods.length === 0) return;
    const type = (Object.getPrototypeOf(instance) as { constructor: Type }).constructor;
    methods.forEach(({ meta: metadata, discoveredMethod: { methodName, handler: method } }) => {
      found.push({ place: { wrapper, module, type, methodName, method, instance }, metadata });
    });
  });
  return found;
}

/** Of classes that are made for each event, because they or what they depend on are, and of transient ones. */
const scoped = <T>(key: string | symbol, modules: readonly Module[]): DecoratedMethod<T>[] =>
  modules.flatMap((module) =>
    wrappersOf(module).flatMap((wrapper) => {
      if (wrapper.isAlias || !isScoped(wrapper)) return [];
      if (wrapper.isNotMetatype) return refuseMade(key, wrapper, module);
      const type = wrapper.metatype as Type | null;
      const prototype = type?.prototype as Record<string, Method> | undefined;
      if (type === null || prototype === undefined || wrapper.inject != null) return [];
      return methodNames(prototype).flatMap((methodName) => {
        const method = prototype[methodName] as Method;
        const metadata = Reflect.getMetadata(key, method) as T | undefined;
        return metadata === undefined
          ? []
          : { place: { wrapper, module, type, methodName, method }, metadata };
      });
    }),
  );

/** What a factory makes for each event is not known before there is one: handlers in it would be passed over in silence. */
function refuseMade(key: string | symbol, { token }: InstanceWrapper, module: Module): never[] {
  const prototype = (typeof token === 'function' ? token.prototype : undefined) as
    Record<string, object> | undefined;
  const names = prototype === undefined ? [] : methodNames(prototype);
  const name = names.find((each) => Reflect.hasMetadata(key, prototype?.[each] as object));
  if (name === undefined) return [];
  const type = (token as Type).name;
  throw new EventsConfigurationError(
    'OnEvent',
    `${type}.${name} of module ${module.metatype.name} handles events, but a factory makes ${type} for each event or each ` +
      `injection: provide the class itself (\`providers: [${type}]\`), and the factory's work in a provider it injects`,
  );
}

const wrappersOf = (module: Module): InstanceWrapper<object>[] =>
  [...module.providers.values(), ...module.controllers.values()] as InstanceWrapper<object>[];

const isScoped = (wrapper: InstanceWrapper): boolean =>
  !wrapper.isDependencyTreeStatic() || wrapper.isTransient;

type Owner = Pick<HandlerPlace, 'wrapper' | 'module'>;

/**
 * Who made each instance, those of providers first: the class itself rather than an alias, a value or a factory that gives
 * the same one.
 */
function ownersOf(modules: readonly Module[]): Map<object, Owner> {
  const owners = new Map<object, Owner>();
  const own = (module: Module, wrapper: InstanceWrapper<object>): void => {
    const { instance } = wrapper;
    if (typeof instance !== 'object' || instance === null || isScoped(wrapper)) return;
    const known = owners.get(instance);
    if (known === undefined || (known.wrapper.isNotMetatype && !wrapper.isNotMetatype)) {
      owners.set(instance, { wrapper, module });
    }
  };
  for (const kind of ['providers', 'controllers'] as const) {
    for (const module of modules) {
      for (const wrapper of module[kind].values()) own(module, wrapper as InstanceWrapper<object>);
    }
  }
  return owners;
}
