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
}

/** Connects, when everything that can be wrong without a connection has been found right. */
export async function assemble(
  options: EventsModuleOptions,
  moduleRef: ModuleRef,
  modules: ModulesContainer,
  loader: LazyModuleLoader,
  http: HttpAdapterHost,
  seam?: TestSeam,
): Promise<Assembly> {
  const resolved = seam === undefined ? resolveOptions(options) : resolveOptions(seam.options(options), {});
  const logger = new Logger('Events');
  const middleware = middlewareOf(resolved, moduleRef);
  const correlation = createCorrelation(resolved, logger);
  const { service, transport } = assembleEventService(resolved, middleware, logger, correlation, seam);
  await transport.connect();
  return {
    service,
    binder: new EventBinder(service, resolved, moduleRef, modules, loader),
    strategies: new StrategyBinder(service, resolved, moduleRef, modules, http),
    correlation,
    middleware,
  };
}

const middlewareOf = ({ middleware }: ResolvedOptions, moduleRef: ModuleRef): EventMiddleware[] =>
  middleware.map((each) => (typeof each === 'function' ? new ProvidedMiddleware(each, moduleRef) : each));
