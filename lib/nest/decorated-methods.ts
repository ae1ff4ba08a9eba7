import { DiscoveryService } from '@golevelup/nestjs-discovery';
import type { Type } from '@nestjs/common';
import type { MetadataScanner, ModulesContainer } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper';
import type { Module } from '@nestjs/core/injector/module';
import { EventsConfigurationError } from '../core/errors';
import type { HandlerPlace } from './handler-binder';

/** A method with metadata, and where Nest has it. */
export interface DecoratedMethod<T> {
  readonly place: HandlerPlace;
  readonly metadata: T;
}

/** The methods of providers and controllers of these modules that have metadata at `key`. Reads only. */
export async function decoratedMethods<T>(
  key: string | symbol,
  modules: readonly Module[],
  scanner: MetadataScanner,
): Promise<DecoratedMethod<T>[]> {
  return [...(await singletons<T>(key, modules, scanner)), ...scoped<T>(key, modules, scanner)];
}

async function singletons<T>(
  key: string | symbol,
  modules: readonly Module[],
  scanner: MetadataScanner,
): Promise<DecoratedMethod<T>[]> {
  const container = new Map(modules.map((module) => [module.token, module])) as ModulesContainer;
  const discovery = new DiscoveryService(container, scanner);
  const methods = [
    ...(await discovery.providerMethodsWithMetaAtKey<T>(key)),
    ...(await discovery.controllerMethodsWithMetaAtKey<T>(key)),
  ];
  if (methods.length === 0) return [];
  const owners = ownersOf(modules);
  // An alias (`useExisting`) shows the same instance under another token: found once.
  const seen = new Map<object, Set<string>>();
  return methods.flatMap(({ meta, discoveredMethod: { methodName, parentClass } }) => {
    const { instance } = parentClass;
    const owner = owners.get(instance);
    const known = seen.get(instance) ?? new Set();
    seen.set(instance, known);
    if (owner === undefined || known.has(methodName)) return [];
    known.add(methodName);
    const type = (Object.getPrototypeOf(instance) as { constructor: Type }).constructor;
    const { wrapper, module } = owner;
    return { place: { wrapper, module, type, methodName }, metadata: meta };
  });
}

/** Of classes that are made for each event, because they or what they depend on are, and of transient ones. */
const scoped = <T>(
  key: string | symbol,
  modules: readonly Module[],
  scanner: MetadataScanner,
): DecoratedMethod<T>[] =>
  modules.flatMap((module) =>
    wrappersOf(module).flatMap((wrapper) => {
      if (wrapper.isAlias || !isScoped(wrapper)) return [];
      if (wrapper.isNotMetatype) return refuseMade(key, wrapper, module, scanner);
      const type = wrapper.metatype as Type | null;
      const prototype = type?.prototype as Record<string, object> | undefined;
      if (type === null || prototype === undefined || wrapper.inject != null) return [];
      return scanner.getAllMethodNames(prototype).flatMap((methodName) => {
        const metadata = Reflect.getMetadata(key, prototype[methodName] as object) as T | undefined;
        return metadata === undefined ? [] : { place: { wrapper, module, type, methodName }, metadata };
      });
    }),
  );

/** What a factory makes for each event is not known before there is one: handlers in it would be passed over in silence. */
function refuseMade(
  key: string | symbol,
  { token }: InstanceWrapper,
  module: Module,
  scanner: MetadataScanner,
): never[] {
  const prototype = (typeof token === 'function' ? token.prototype : undefined) as
    Record<string, object> | undefined;
  const names = prototype === undefined ? [] : scanner.getAllMethodNames(prototype);
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

/** Who made each instance: the class itself rather than an alias, a value or a factory that gives the same one. */
function ownersOf(modules: readonly Module[]): Map<object, Pick<HandlerPlace, 'wrapper' | 'module'>> {
  const owners = new Map<object, Pick<HandlerPlace, 'wrapper' | 'module'>>();
  for (const module of modules) {
    for (const wrapper of wrappersOf(module)) {
      const { instance } = wrapper;
      if (typeof instance !== 'object' || instance === null || isScoped(wrapper)) continue;
      const known = owners.get(instance);
      if (known === undefined || (known.wrapper.isNotMetatype && !wrapper.isNotMetatype)) {
        owners.set(instance, { wrapper, module });
      }
    }
  }
  return owners;
}
