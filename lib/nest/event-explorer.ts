import { DiscoveryService } from '@golevelup/nestjs-discovery';
import { Injectable } from '@nestjs/common';
import { ContextIdFactory, MetadataScanner, ModuleRef, ModulesContainer } from '@nestjs/core';
import { EventsConfigurationError } from '../core/errors';
import type { EventHandler } from '../core/event-map';
import { identityOf, type HandlerDefinition } from '../core/handler-definition';
import { declaredHandlers } from './handler-definitions';
import { ON_EVENT_METADATA, type OnEventMetadata } from './on-event.decorator';

interface Decorated {
  /** `Class.method`, the default identity. */
  readonly name: string;
  readonly module: string;
  readonly decorators: readonly OnEventMetadata[];
  readonly handler: EventHandler;
}

type AnyClass = new (...args: never[]) => object;
type Method = (this: unknown, ...args: unknown[]) => unknown;

/** Finds the methods that `@OnEvent` marks. Reads only. */
@Injectable()
export class EventExplorer {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly modules: ModulesContainer,
    private readonly scanner: MetadataScanner,
  ) {}

  /** @throws EventsConfigurationError if two handlers have one identity, saying where both are */
  async explore(): Promise<HandlerDefinition[]> {
    const scoped = this.#scoped();
    const found = [...(await this.#singletons(scoped.types)), ...scoped.handlers];
    const byIdentity = new Map<string, string>();
    return found.flatMap(({ name, module, decorators, handler }) =>
      declaredHandlers(name, decorators).map((declared): HandlerDefinition => {
        const identity = identityOf(declared.name);
        const place = `${name} of module ${module}`;
        const other = byIdentity.get(identity);
        if (other !== undefined) {
          throw new EventsConfigurationError(
            'name',
            `two handlers have the identity '${declared.name}': ${other}, and ${place}. Give one of them another ` +
              '`name`; if it is the same class provided in two modules, provide it in one and export it',
          );
        }
        byIdentity.set(identity, place);
        return { ...declared, handler };
      }),
    );
  }

  async #singletons(scoped: ReadonlySet<unknown>): Promise<Decorated[]> {
    const methods = [
      ...(await this.discovery.providerMethodsWithMetaAtKey<OnEventMetadata[]>(ON_EVENT_METADATA)),
      ...(await this.discovery.controllerMethodsWithMetaAtKey<OnEventMetadata[]>(ON_EVENT_METADATA)),
    ];
    // An alias (`useExisting`) shows the same instance under another token: bound once.
    const seen = new Map<object, Set<string>>();
    return methods.flatMap(({ meta, discoveredMethod: { methodName, parentClass } }) => {
      const instance = parentClass.instance;
      const known = seen.get(instance) ?? new Set();
      seen.set(instance, known);
      if (scoped.has(parentClass.injectType) || known.has(methodName)) return [];
      known.add(methodName);
      const method = (instance as Record<string, Method>)[methodName] as Method;
      return {
        name: `${instance.constructor.name}.${methodName}`,
        module: parentClass.parentModule.name,
        decorators: meta,
        handler: (event, context) => method.call(instance, event, context),
      };
    });
  }

  /**
   * Handlers of request-scoped classes, and of those that depend on one: an instance for each event. Those of a transient
   * class, which is made anew wherever it is injected: an instance of their own.
   */
  #scoped(): { handlers: Decorated[]; types: ReadonlySet<unknown> } {
    const handlers: Decorated[] = [];
    const types = new Set<unknown>();
    for (const module of this.modules.values()) {
      for (const wrapper of [...module.providers.values(), ...module.controllers.values()]) {
        if (wrapper.isNotMetatype || wrapper.isAlias) continue;
        const perEvent = !wrapper.isDependencyTreeStatic();
        if (!perEvent && !wrapper.isTransient) continue;
        types.add(wrapper.metatype);
        const type = wrapper.metatype as AnyClass | null;
        const prototype = type?.prototype as Record<string, Method> | undefined;
        if (type == null || prototype === undefined || wrapper.inject !== undefined) continue;
        const moduleRef = module.providers.get(ModuleRef)?.instance as ModuleRef;
        const token = wrapper.token as AnyClass;
        let made: Promise<object> | undefined;
        const own = (): Promise<object> => {
          made ??= moduleRef.resolve<object>(token, undefined, { strict: true });
          made.catch(() => (made = undefined)); // made again at the next attempt
          return made;
        };
        for (const methodName of this.scanner.getAllMethodNames(prototype)) {
          const method = prototype[methodName] as Method;
          const decorators = Reflect.getMetadata(ON_EVENT_METADATA, method) as OnEventMetadata[] | undefined;
          if (decorators === undefined) continue;
          handlers.push({
            name: `${type.name}.${methodName}`,
            module: module.metatype.name,
            decorators,
            handler: perEvent
              ? async (event, context) => {
                  const contextId = ContextIdFactory.create();
                  moduleRef.registerRequestByContextId(context, contextId);
                  const instance = await moduleRef.resolve<object>(token, contextId, { strict: true });
                  return method.call(instance, event, context);
                }
              : async (event, context) => method.call(await own(), event, context),
          });
        }
      }
    }
    return { handlers, types };
  }
}
