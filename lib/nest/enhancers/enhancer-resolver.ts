import type { Type } from '@nestjs/common';
import { ModuleRef, type ApplicationConfig, type ContextId } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper';
import type { Module } from '@nestjs/core/injector/module';
import type { DeclaredEnhancers, Enhancer, EnhancerSet } from './enhancer-metadata';
import type { DeclaredParameter, Parameter } from './parameters';

/** What is made anew for one event. */
export interface EventScope {
  readonly contextId: ContextId;
  /** Id of the wrapper of the class whose handler runs: transient enhancers belong to it. */
  readonly inquirerId: string;
}

export const moduleRefOf = (module: Module): ModuleRef =>
  module.providers.get(ModuleRef)?.instance as ModuleRef;

/** Makes instances of the enhancers of a handler, as Nest would: from the module of its class, or for one event. */
export class EnhancerResolver {
  readonly #globals: ApplicationConfig | undefined;

  /** @param globals where the enhancers of the whole application are; absent if they do not apply to events */
  constructor(globals: ApplicationConfig | undefined) {
    this.#globals = globals;
  }

  /** Whether the application has enhancers, of whatever kind, that apply to events. */
  get hasGlobals(): boolean {
    const globals = this.#globals;
    return (
      globals !== undefined &&
      (this.perEvent ||
        globals.getGlobalGuards().length +
          globals.getGlobalInterceptors().length +
          globals.getGlobalPipes().length +
          globals.getGlobalFilters().length >
          0)
    );
  }

  /** Whether enhancers of the application have to be made for each event. */
  get perEvent(): boolean {
    const globals = this.#globals;
    return (
      globals !== undefined &&
      globals.getGlobalRequestGuards().length +
        globals.getGlobalRequestInterceptors().length +
        globals.getGlobalRequestPipes().length +
        globals.getGlobalRequestFilters().length >
        0
    );
  }

  /**
   * The enhancers of the application, then the declared ones.
   * @param scope absent: all of them live as long as the application
   */
  async enhancers(declared: DeclaredEnhancers, module: Module, scope?: EventScope): Promise<EnhancerSet> {
    const globals = this.#globals;
    const all = async <T extends object>(
      applied: readonly T[] = [],
      scoped: readonly InstanceWrapper<T>[] = [],
      own: readonly Enhancer<T>[],
    ): Promise<T[]> => [
      ...applied,
      ...(scope === undefined
        ? []
        : await Promise.all(scoped.map((wrapper) => fromContainer(wrapper, scope)))),
      ...(await instancesOf(own, module, scope)),
    ];
    return {
      guards: await all(globals?.getGlobalGuards(), globals?.getGlobalRequestGuards(), declared.guards),
      interceptors: await all(
        globals?.getGlobalInterceptors(),
        globals?.getGlobalRequestInterceptors(),
        declared.interceptors,
      ),
      pipes: await all(globals?.getGlobalPipes(), globals?.getGlobalRequestPipes(), declared.pipes),
      filters: await all(globals?.getGlobalFilters(), globals?.getGlobalRequestFilters(), declared.filters),
    };
  }

  parameters(
    declared: readonly DeclaredParameter[],
    module: Module,
    scope?: EventScope,
  ): Promise<Parameter[]> {
    return Promise.all(
      declared.map(async (each) => ({ ...each, pipes: await instancesOf(each.pipes, module, scope) })),
    );
  }
}

const fromContainer = <T extends object>(
  wrapper: InstanceWrapper<T>,
  { contextId }: EventScope,
): Promise<T> =>
  moduleRefOf(wrapper.host as Module).resolve<T>(wrapper.token as string, contextId, { strict: true });

async function instancesOf<T extends object>(
  enhancers: readonly Enhancer<T>[],
  module: Module,
  scope: EventScope | undefined,
): Promise<T[]> {
  const instances: T[] = [];
  for (const each of enhancers) {
    instances.push(isClass(each) ? await instanceOf(each, module, scope) : each);
  }
  return instances;
}

const isClass = <T>(enhancer: Enhancer<T>): enhancer is Type<T> => typeof enhancer === 'function';

async function instanceOf<T extends object>(
  type: Type<T>,
  module: Module,
  scope: EventScope | undefined,
): Promise<T> {
  const wrapper = module.injectables.get(type) as InstanceWrapper<T> | undefined;
  // Nest registers the enhancers of classes only, and makes transient ones of providers for no one: those are made here.
  if (wrapper === undefined || (wrapper.isTransient && wrapper.isDependencyTreeStatic())) {
    return moduleRefOf(module).create<T>(type);
  }
  if (wrapper.isDependencyTreeStatic()) return wrapper.instance;
  if (scope === undefined) throw new Error(`${type.name} is made for each event, its handler is not`);
  const { contextId, inquirerId } = scope;
  const parent = contextId.getParent?.({
    token: wrapper.token,
    isTreeDurable: wrapper.isDependencyTreeDurable(),
  });
  return wrapper.getInstanceByContextId(parent ?? contextId, inquirerId).instance;
}
