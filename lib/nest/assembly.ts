import { Logger } from '@nestjs/common';
import type { HttpAdapterHost, LazyModuleLoader, ModuleRef, ModulesContainer } from '@nestjs/core';
import type { EventService } from '../core/event-service';
import type { EventMiddleware } from '../core/middleware';
import type { Correlation } from '../middleware';
import { StrategyBinder } from './bridge/strategy-binder';
import { assembleEventService, createCorrelation } from './create-event-service';
import { EventBinder } from './event-binder';
import type { EventsModuleOptions } from './options/options';
import { resolveOptions, type ResolvedOptions } from './options/resolve-options';
import { ProvidedMiddleware } from './provided-middleware';
import type { TestSeam } from './test-seam';

/**
 * What the module is made of. One provider for all of it: ten of them, with thirty dependencies between them, were a tenth of
 * what a thousand handlers add to the start.
 */
export interface Assembly {
  readonly service: EventService;
  readonly binder: EventBinder;
  readonly strategies: StrategyBinder;
  readonly correlation: Correlation;
  readonly middleware: readonly EventMiddleware[];
  /** Those of the application. */
  readonly modules: ModulesContainer;
}

/** What it is made of: the options, and what Nest has of the application. */
export interface AssemblyParts {
  readonly given: EventsModuleOptions;
  readonly moduleRef: ModuleRef;
  readonly modules: ModulesContainer;
  readonly loader: LazyModuleLoader;
  readonly http: HttpAdapterHost;
  /** Of a test, in the place of the transport that the options select. */
  readonly seam: TestSeam | undefined;
}

/** Connects, when everything that can be wrong without a connection has been found right. */
export async function assemble(parts: AssemblyParts): Promise<Assembly> {
  const { given, moduleRef, modules, loader, http, seam } = parts;
  const options = seam === undefined ? resolveOptions(given) : resolveOptions(seam.options(given), {});
  const logger = new Logger('Events');
  const middleware = middlewareOf(options, moduleRef);
  const correlation = createCorrelation(options, logger);
  const { service, transport } = assembleEventService(options, middleware, logger, correlation, seam);
  await transport.connect();
  return {
    service,
    binder: new EventBinder(service, options, moduleRef, modules, loader),
    strategies: new StrategyBinder(service, options, moduleRef, modules, http),
    correlation,
    middleware,
    modules,
  };
}

const middlewareOf = ({ middleware }: ResolvedOptions, moduleRef: ModuleRef): EventMiddleware[] =>
  middleware.map((each) => (typeof each === 'function' ? new ProvidedMiddleware(each, moduleRef) : each));
