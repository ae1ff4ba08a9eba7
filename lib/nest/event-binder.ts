import type { Module } from '@nestjs/core/injector/module';
import type { EventHandler } from '../core/event-map';
import type { EventService } from '../core/event-service';
import type { HandlerDefinition } from '../core/handler-definition';
import type { EventsLogger } from '../core/logger';
import type { Failed, MaybePromise } from '../core/promises';
import type { Application } from './assembly';
import type { DecoratedHandler } from './decorated-handler';
import { EnhancerResolver } from './enhancers/enhancer-resolver';
import { EventExplorer } from './event-explorer';
import { EVENT_VIEW, HandlerBinder } from './handler-binder';
import { LazyModules } from './lazy-modules';
import type { ResolvedOptions } from './options/resolve-options';

/** Subscribes what the explorer finds: when the application has started, and whenever it loads a module later. */
export class EventBinder {
  readonly #modules: LazyModules;
  readonly #explorer: EventExplorer;
  readonly #handlers: HandlerBinder;
  #started = false;

  constructor(
    private readonly service: EventService,
    { globalEnhancers, guardDenied }: ResolvedOptions,
    { moduleRef, modules, loader }: Application,
    logger: EventsLogger,
  ) {
    this.#explorer = new EventExplorer((message) => logger.warn(message));
    // Nest keeps the enhancers of the application where only the container leads to.
    const globals = globalEnhancers ? moduleRef['container'].applicationConfig : undefined;
    this.#handlers = new HandlerBinder(new EnhancerResolver(globals), guardDenied, EVENT_VIEW);
    this.#modules = new LazyModules(modules, loader, (loaded) => this.#bind(loaded));
  }

  /** @throws the first error of a handler that could not be subscribed, when all have been tried */
  async start(): Promise<void> {
    this.#started = true;
    await this.#bind(this.#modules.complete);
  }

  async #bind(modules: Iterable<Module>): Promise<void> {
    // What is loaded before the start is found at the start.
    if (!this.#started) return;
    const found = this.#explorer.explore(modules);
    // A service that a test provides may be without, or give anything.
    const bindAll = this.service.bindAll?.bind(this.service) as EventService['bindAll'] | undefined;
    const failed: unknown = await bindAll?.(found, (each) => this.#definitionOf(each));
    if (!isFailed(failed)) return;
    // A module that is loaded again tries again; what is bound stays bound.
    this.#explorer.release(failed.map(({ item }) => item));
    throw failed[0].reason;
  }

  /** A promise only where enhancers have to be made. */
  #definitionOf(found: DecoratedHandler): MaybePromise<HandlerDefinition> {
    const enhanced = this.#handlers.bindEnhanced(found);
    return enhanced === undefined ? found : withEnhancers(found, enhanced);
  }
}

const isFailed = (outcome: unknown): outcome is [Failed<DecoratedHandler>, ...Failed<DecoratedHandler>[]] =>
  Array.isArray(outcome) && outcome.length > 0;

const withEnhancers = async (
  found: DecoratedHandler,
  made: Promise<EventHandler>,
): Promise<HandlerDefinition> => found.handledBy(await made);
