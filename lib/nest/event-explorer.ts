import { DiscoveryService } from '@golevelup/nestjs-discovery';
import { Injectable, type Type } from '@nestjs/common';
import { MetadataScanner, type ModulesContainer } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper';
import type { Module } from '@nestjs/core/injector/module';
import { EventsConfigurationError } from '../core/errors';
import { identityOf } from '../core/handler-definition';
import { declaredHandlers, type DeclaredHandler } from './handler-definitions';
import type { HandlerPlace } from './handler-binder';
import { ON_EVENT_METADATA, type OnEventMetadata } from './on-event.decorator';

/** A handler that a decorator declares, and where it is. */
export interface FoundHandler extends DeclaredHandler {
  readonly place: HandlerPlace;
}

interface DecoratedMethod {
  readonly place: HandlerPlace;
  readonly decorators: readonly OnEventMetadata[];
}

/** Finds the methods that `@OnEvent` marks. Reads only; what was found once is not found again. */
@Injectable()
export class EventExplorer {
  /** Where each identity is. */
  readonly #found = new Map<string, string>();
  readonly #explored = new Set<Module>();

  constructor(private readonly scanner: MetadataScanner) {}

  /**
   * The handlers in these modules, except in those that were explored before.
   * @throws EventsConfigurationError if two handlers have one identity, saying where both are
   */
  async explore(modules: Iterable<Module>): Promise<FoundHandler[]> {
    const unseen = [...modules].filter((module) => !this.#explored.has(module));
    for (const module of unseen) this.#explored.add(module);
    const methods = [...(await this.#singletons(unseen)), ...this.#scoped(unseen)];
    return methods.flatMap(({ place, decorators }) => {
      const name = `${place.type.name}.${place.methodName}`;
      return declaredHandlers(name, decorators).map((declared): FoundHandler => {
        this.#claim(declared.name, `${name} of module ${place.module.metatype.name}`);
        return { ...declared, place };
      });
    });
  }

  #claim(name: string, place: string): void {
    const identity = identityOf(name);
    const other = this.#found.get(identity);
    if (other !== undefined) {
      throw new EventsConfigurationError(
        'name',
        `two handlers have the identity '${name}': ${other}, and ${place}. Give one of them another ` +
          '`name`; if it is the same class provided in two modules, provide it in one and export it',
      );
    }
    this.#found.set(identity, place);
  }

  async #singletons(modules: readonly Module[]): Promise<DecoratedMethod[]> {
    const container = new Map(modules.map((module) => [module.token, module])) as ModulesContainer;
    const discovery = new DiscoveryService(container, this.scanner);
    const methods = [
      ...(await discovery.providerMethodsWithMetaAtKey<OnEventMetadata[]>(ON_EVENT_METADATA)),
      ...(await discovery.controllerMethodsWithMetaAtKey<OnEventMetadata[]>(ON_EVENT_METADATA)),
    ];
    if (methods.length === 0) return [];
    const owners = ownersOf(modules);
    // An alias (`useExisting`) shows the same instance under another token: bound once.
    const seen = new Map<object, Set<string>>();
    return methods.flatMap(({ meta, discoveredMethod: { methodName, parentClass } }) => {
      const { instance } = parentClass;
      const owner = owners.get(instance);
      const known = seen.get(instance) ?? new Set();
      seen.set(instance, known);
      if (owner === undefined || known.has(methodName)) return [];
      known.add(methodName);
      const type = (Object.getPrototypeOf(instance) as { constructor: Type }).constructor;
      return { place: { ...owner, type, methodName }, decorators: meta };
    });
  }

  /** Classes that are made for each event, because they or what they depend on are, and transient ones. */
  #scoped(modules: readonly Module[]): DecoratedMethod[] {
    return modules.flatMap((module) =>
      wrappersOf(module).flatMap((wrapper) => {
        if (wrapper.isNotMetatype || wrapper.isAlias || !isScoped(wrapper)) return [];
        const type = wrapper.metatype as Type | null;
        const prototype = type?.prototype as Record<string, object> | undefined;
        if (type === null || prototype === undefined || wrapper.inject != null) return [];
        return this.scanner.getAllMethodNames(prototype).flatMap((methodName) => {
          const decorators = Reflect.getMetadata(ON_EVENT_METADATA, prototype[methodName] as object) as
            OnEventMetadata[] | undefined;
          return decorators === undefined ? [] : { place: { wrapper, module, type, methodName }, decorators };
        });
      }),
    );
  }
}

const wrappersOf = (module: Module): InstanceWrapper<object>[] =>
  [...module.providers.values(), ...module.controllers.values()] as InstanceWrapper<object>[];

const isScoped = (wrapper: InstanceWrapper): boolean =>
  !wrapper.isDependencyTreeStatic() || wrapper.isTransient;

/** Who made each instance: the class itself rather than an alias, a value or a factory that gives the same one. */
function ownersOf(modules: Iterable<Module>): Map<object, Pick<HandlerPlace, 'wrapper' | 'module'>> {
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
