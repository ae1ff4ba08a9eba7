import { Logger } from '@nestjs/common';
import type { HttpAdapterHost, LazyModuleLoader, ModuleRef, ModulesContainer } from '@nestjs/core';
import type { EventService } from '../core/event-service';
import { steadyLogger } from '../core/logger';
import type { EventMiddleware } from '../core/middleware';
import type { Correlation } from '../middleware';
import { StrategyBinder } from './bridge/strategy-binder';
import { assembleEventService, createCorrelation } from './create-event-service';
import { EventBinder } from './event-binder';
import type { EventsModuleOptions } from './options/options';
import { resolveOptions, type ResolvedOptions } from './options/resolve-options';
import { ProvidedMiddleware } from './provided-middleware';
import type { TestSeam } from './test-seam';

/** What Nest has of an application. */
export interface Application {
  readonly moduleRef: ModuleRef;
  readonly modules: ModulesContainer;
  readonly loader: LazyModuleLoader;
  readonly http: HttpAdapterHost;
}

/**
 * What the module is made of, but for the `EventService`, which a test may provide itself. One provider for all of it: five, with
 * their dependencies, left 0.2 MB more at the start.
 */
export class Assembly {
  readonly middleware: readonly EventMiddleware[];
  readonly correlation: Correlation;
  readonly #options: ResolvedOptions;
  readonly #logger = new Logger('Events');
  #strategies: StrategyBinder | undefined;

  /**
   * Everything that can be wrong without a connection is found here, before there is one.
   * @param seam of a test, in the place of the transport that the options select
   * @throws EventsConfigurationError naming the option or the variable that is wrong
   */
  constructor(
    given: EventsModuleOptions,
    readonly application: Application,
    private readonly seam: TestSeam | undefined,
  ) {
    const options = seam === undefined ? resolveOptions(given) : resolveOptions(seam.options(given), {});
    this.#options = options;
    this.middleware = options.middleware.map((each) =>
      typeof each === 'function' ? new ProvidedMiddleware(each, application.moduleRef) : each,
    );
    this.correlation = createCorrelation(options, this.#logger);
  }

  /** Milliseconds. */
  get shutdownTimeout(): number {
    return this.#options.shutdownTimeout;
  }

  async connected(): Promise<EventService> {
    const { service, transport } = assembleEventService(
      this.#options,
      this.middleware,
      this.#logger,
      this.correlation,
      this.seam,
    );
    await transport.connect();
    return service;
  }

  binder(service: EventService): EventBinder {
    return new EventBinder(service, this.#options, this.application, steadyLogger(this.#logger));
  }

  /** One for the application: it tells strategies of itself. */
  strategyBinder(service: EventService): StrategyBinder {
    return (this.#strategies ??= new StrategyBinder(service, this.#options, this.application));
  }
}
