import type { Type } from '@nestjs/common';
import { ContextIdFactory, type ContextId } from '@nestjs/core';
import { REQUEST_CONTEXT_ID } from '@nestjs/core/router/request/request-constants';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper';
import type { Module } from '@nestjs/core/injector/module';
import { EventsConfigurationError } from '../core/errors';
import type { EventContext, EventHandler } from '../core/event-map';
import { callMethod, enhancedHandler, type Method } from './enhancers/enhanced-handler';
import {
  enhancersOn,
  hasEnhancers,
  joinedEnhancers,
  type DeclaredEnhancers,
} from './enhancers/enhancer-metadata';
import { moduleRefOf, type EnhancerResolver, type EventScope } from './enhancers/enhancer-resolver';
import { declaredParameters, hasParameterDecorators, type DeclaredParameter } from './enhancers/parameters';
import type { GuardDenied } from './options/options';

/** A class that Nest manages, with handlers among its methods. */
export interface HandlerOwner {
  readonly wrapper: InstanceWrapper<object>;
  readonly module: Module;
  readonly type: Type;
  /** The one that handles all events. Absent: it is made for each, or for the handler. */
  readonly instance?: object;
}

/** A method of a class that Nest manages. */
export interface HandlerPlace {
  readonly owner: HandlerOwner;
  readonly methodName: string;
  /** As the class declares it. */
  readonly method: Method;
}

/** How handlers see what they are called for. */
export interface HandlerView {
  /** What `ExecutionContext#getType` says. */
  readonly contextType: string;
  /** What `REQUEST` is to request-scoped providers. */
  readonly request: (data: unknown, context: EventContext) => object;
}

export const EVENT_VIEW: HandlerView = { contextType: 'event', request: (_data, context) => context };

/** Makes of a method what is called with each event: on which instance, and with which enhancers around it. */
export class HandlerBinder {
  readonly #ofClasses = new Map<Type, DeclaredEnhancers>();

  constructor(
    private readonly resolver: EnhancerResolver,
    private readonly guardDenied: GuardDenied,
    private readonly view: HandlerView,
  ) {}

  /** Rejects with what Nest throws when an enhancer cannot be made. */
  async bind(place: HandlerPlace): Promise<EventHandler> {
    return (await this.bindEnhanced(place)) ?? direct(place);
  }

  /** As `bind`, of what has to be made; `undefined` where `direct` is all there is to it. */
  bindEnhanced(place: HandlerPlace): Promise<EventHandler> | undefined {
    const { owner, method, methodName } = place;
    const enhancers = joinedEnhancers(this.#ofClass(owner.type), enhancersOn(method));
    const decorated = hasParameterDecorators(owner.type, methodName);
    // Nothing to enhance, nothing to make: without this, a thousand handlers took 15 ms and 5 MB.
    return owner.instance !== undefined && !decorated && !hasEnhancers(enhancers) && !this.resolver.hasGlobals
      ? undefined
      : this.#enhanced(place, enhancers, decorated);
  }

  async #enhanced(
    place: HandlerPlace,
    enhancers: DeclaredEnhancers,
    decorated: boolean,
  ): Promise<EventHandler> {
    const { owner, methodName } = place;
    const { wrapper, type, instance } = owner;
    const declared = { enhancers, parameters: declaredParameters(type, methodName), decorated };
    if (instance !== undefined) return this.#shared(place, instance, declared);
    return wrapper.isDependencyTreeStatic()
      ? this.#transient(place, declared)
      : this.#perEvent(place, declared);
  }

  /** Looked up once for all methods of the class. */
  #ofClass(type: Type): DeclaredEnhancers {
    let enhancers = this.#ofClasses.get(type);
    if (enhancers === undefined) this.#ofClasses.set(type, (enhancers = enhancersOn(type)));
    return enhancers;
  }

  /** One instance for all events; enhancers of the application may still be made for each. */
  async #shared(place: HandlerPlace, instance: object, declared: Declared): Promise<EventHandler> {
    if (!this.resolver.perEvent) return this.#composed(place, instance, declared);
    return async (data, context) => {
      const scope = scopeOf(place.owner, this.view.request(data, context));
      const handler = await this.#composed(place, instance, declared, scope);
      return handler(data, context);
    };
  }

  /** A class that depends on the event: an instance for each, released with it. */
  #perEvent(place: HandlerPlace, declared: Declared): EventHandler {
    const { wrapper, module } = place.owner;
    const moduleRef = moduleRefOf(module);
    return async (data, context) => {
      const scope = scopeOf(place.owner, this.view.request(data, context));
      const instance = await moduleRef.resolve<object>(wrapper.token as string, scope.contextId, {
        strict: true,
      });
      const handler = await this.#composed(place, instance, declared, scope);
      return handler(data, context);
    };
  }

  /** A class that is made anew wherever it is injected: an instance of the handler's own. */
  #transient(place: HandlerPlace, declared: Declared): EventHandler {
    const { wrapper, module } = place.owner;
    let made: Promise<EventHandler> | undefined;
    const own = async (): Promise<EventHandler> => {
      const instance = await moduleRefOf(module).resolve<object>(wrapper.token as string, undefined, {
        strict: true,
      });
      return this.#shared(place, instance, declared);
    };
    return async (data, context) => {
      made ??= own();
      made.catch(() => (made = undefined)); // made again at the next attempt
      return (await made)(data, context);
    };
  }

  async #composed(
    place: HandlerPlace,
    instance: object,
    declared: Declared,
    scope?: EventScope,
  ): Promise<EventHandler> {
    const { owner, method, methodName } = place;
    const { module, type } = owner;
    const enhancers = await this.resolver.enhancers(declared.enhancers, module, scope);
    // Nothing to enhance, nothing to pay for.
    if (!declared.decorated && !hasEnhancers(enhancers)) return calling(place, instance);
    const parameters = await this.resolver.parameters(declared.parameters, module, scope);
    const { guardDenied, view } = this;
    const target = { type, instance, method, methodName };
    return enhancedHandler({ ...target, enhancers, parameters, guardDenied, contextType: view.contextType });
  }
}

interface Declared {
  readonly enhancers: DeclaredEnhancers;
  readonly parameters: readonly DeclaredParameter[];
  readonly decorated: boolean;
}

const calling =
  ({ method, methodName }: HandlerPlace, instance: object): EventHandler =>
  (data, context) =>
    callMethod(instance, methodName, method, [data, context]);

/** Calls the method of the instance that handles all events. */
export const direct = (place: HandlerPlace): EventHandler => calling(place, place.owner.instance as object);

/**
 * As Nest does it for a request: the context id may have a parent that the application's strategy chose (durable
 * providers), and `REQUEST` is the request, or what the strategy gives for it.
 */
function scopeOf({ wrapper, module }: HandlerOwner, request: object): EventScope {
  const contextId: ContextId = ContextIdFactory.getByRequest(request, []);
  // So that `ContextIdFactory.getByRequest(request)` of the application leads to the same instances.
  Object.defineProperty(request, REQUEST_CONTEXT_ID, { value: contextId, configurable: true });
  const { payload } = contextId;
  const provided: unknown = wrapper.isDependencyTreeDurable() ? payload : withPayload(request, payload);
  moduleRefOf(module).registerRequestByContextId(provided, contextId);
  return { contextId, inquirerId: wrapper.id };
}

/** As Nest joins them, but for what the request says itself. */
function withPayload(request: object, payload: unknown): object {
  const clash = Object.keys(payload ?? {}).find((key) => key in request);
  if (clash === undefined) return Object.assign(request, payload);
  throw new EventsConfigurationError(
    'ContextIdStrategy',
    `the payload of the ContextIdStrategy has '${clash}', which an event has itself: give it another name`,
  );
}
