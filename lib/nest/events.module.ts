import {
  Inject,
  Logger,
  Module,
  type DynamicModule,
  type FactoryProvider,
  type MiddlewareConsumer,
  type ModuleMetadata,
  type NestModule,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  type Provider,
  type Type,
} from '@nestjs/common';
import { ModuleRef, ModulesContainer } from '@nestjs/core';
import { DeadLetterService } from '../core/dead-letter-service';
import { EventsConfigurationError } from '../core/errors';
import { EventService } from '../core/event-service';
import type { ConsumeContext } from '../core/event-context';
import type { EmitReceipt, EventMiddleware, OutboundEvent } from '../core/middleware';
import { Correlation } from '../middleware';
import { EventsClient } from './bridge/events-client';
import { EventsStrategy } from './bridge/events-strategy';
import { StrategyBinder } from './bridge/strategy-binder';
import { assembleEventService, createCorrelation } from './create-event-service';
import { EVERY_ROUTE, httpOrigin } from './edge/http-origin';
import { followRpcTargets } from './edge/rpc-origin';
import { EventBinder } from './event-binder';
import type { EventsModuleOptions } from './options/options';
import { EVENTS_OPTIONS, resolveOptions, type ResolvedOptions } from './options/resolve-options';
import { TEST_SEAM, type TestSeam } from './test-seam';

const RAW_OPTIONS = Symbol('EVENTS_MODULE_OPTIONS');
const MIDDLEWARE = Symbol('EVENTS_MIDDLEWARE');
const SEAM = { token: TEST_SEAM, optional: true };

/** A provider that makes the options of `registerAsync`. */
export interface EventsOptionsFactory {
  createEventsOptions(): EventsModuleOptions | Promise<EventsModuleOptions>;
}

/** Options that come from other providers: exactly one of the three `use…`. */
export interface EventsModuleAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  useFactory?: (...args: never[]) => EventsModuleOptions | Promise<EventsModuleOptions>;
  useClass?: Type<EventsOptionsFactory>;
  useExisting?: Type<EventsOptionsFactory>;
  /** What `useFactory` is called with. */
  inject?: FactoryProvider['inject'];
  /** Whether `EventService` can be injected without importing the module. Default: `true`. */
  isGlobal?: boolean;
}

/**
 * Events for an application. Register it once, anywhere in the tree of modules: it connects while the application is
 * created, binds all `@OnEvent` methods when it has started, and is the first to stop.
 */
@Module({})
export class EventsModule implements NestModule, OnApplicationBootstrap, OnModuleDestroy {
  readonly #rpcTargets: { unsubscribe(): void } | undefined;

  constructor(
    private readonly service: EventService,
    private readonly binder: EventBinder,
    @Inject(MIDDLEWARE) private readonly middleware: readonly EventMiddleware[],
    private readonly correlation: Correlation,
    modules: ModulesContainer,
  ) {
    this.#rpcTargets = followRpcTargets(modules, correlation);
  }

  /** @throws EventsConfigurationError naming the option or the variable that is wrong */
  static register(options: EventsModuleOptions): DynamicModule {
    return moduleOf(options?.isGlobal, [], [{ provide: RAW_OPTIONS, useValue: options }]);
  }

  /** As `register`, with options made by other providers; a wrong one fails the start of the application. */
  static registerAsync(options: EventsModuleAsyncOptions): DynamicModule {
    return moduleOf(options.isGlobal, options.imports ?? [], rawOptionsOf(options));
  }

  /** Called by Nest in applications that serve HTTP, and in no others. */
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(httpOrigin(this.correlation)).forRoutes(EVERY_ROUTE);
  }

  /** Runs after everybody else's: with the module's distance at its least, Nest calls its hooks last. */
  async onApplicationBootstrap(): Promise<void> {
    try {
      for (const each of this.middleware) if (each instanceof ProvidedMiddleware) await each.resolve(true);
      await this.binder.start();
      this.service.start();
      void this.service.reportOrphans();
    } catch (error) {
      // The application does not start, and nobody may ever close it: leave no connection behind.
      await this.service.drain();
      throw error;
    }
  }

  /** Runs before everybody else's: handlers finish while what they depend on is still there. */
  async onModuleDestroy(): Promise<void> {
    this.#rpcTargets?.unsubscribe();
    await this.service.drain();
  }
}

function moduleOf(
  isGlobal: boolean | undefined,
  imports: NonNullable<ModuleMetadata['imports']>,
  rawOptions: Provider[],
): DynamicModule {
  return {
    module: EventsModule,
    global: isGlobal ?? true,
    imports: [...imports],
    providers: [
      ...rawOptions,
      EventBinder,
      StrategyBinder,
      {
        provide: EventsStrategy,
        inject: [StrategyBinder],
        useFactory: (binder: StrategyBinder) => new EventsStrategy().servedBy(binder.bind),
      },
      EventsClient,
      { provide: EVENTS_OPTIONS, inject: [RAW_OPTIONS, ModulesContainer, SEAM], useFactory: prepare },
      { provide: MIDDLEWARE, inject: [EVENTS_OPTIONS, ModuleRef], useFactory: middlewareOf },
      {
        provide: Correlation,
        inject: [EVENTS_OPTIONS],
        useFactory: (resolved: ResolvedOptions) => createCorrelation(resolved, new Logger('Events')),
      },
      { provide: EventService, inject: [EVENTS_OPTIONS, MIDDLEWARE, Correlation, SEAM], useFactory: connect },
      {
        provide: DeadLetterService,
        inject: [EventService],
        useFactory: (service: EventService) => service.deadLetters,
      },
    ],
    exports: [EventService, DeadLetterService, EventsClient, EventsStrategy],
  };
}

function rawOptionsOf(options: EventsModuleAsyncOptions): Provider[] {
  const { useFactory, useClass, useExisting, inject } = options;
  if ([useFactory, useClass, useExisting].filter((use) => use !== undefined).length !== 1) {
    throw new EventsConfigurationError(
      'registerAsync',
      'EventsModule.registerAsync takes exactly one of `useFactory`, `useClass` and `useExisting`',
    );
  }
  if (useFactory !== undefined) return [{ provide: RAW_OPTIONS, inject: inject ?? [], useFactory }];
  const factory = (useExisting ?? useClass) as Type<EventsOptionsFactory>;
  return [
    ...(useClass === undefined ? [] : [useClass]),
    {
      provide: RAW_OPTIONS,
      inject: [factory],
      useFactory: (made: EventsOptionsFactory) => made.createEventsOptions(),
    },
  ];
}

/** Everything that can be wrong without a connection is found before there is one. */
function prepare(options: EventsModuleOptions, modules: ModulesContainer, seam?: TestSeam): ResolvedOptions {
  const own = [...modules.values()].filter((module) => module.metatype === EventsModule);
  if (own.length > 1) {
    throw new EventsConfigurationError(
      'register',
      `EventsModule is registered ${own.length} times in one application: register it once, at the root; it is global, ` +
        'so that EventService can be injected everywhere' +
        (seam === undefined
          ? ''
          : '. To test an application that registers it, use EventsTestingModule.override'),
    );
  }
  // Nest runs start-up hooks from the farthest module to the nearest, shutdown hooks the other way round.
  for (const module of own) module.distance = Number.MIN_SAFE_INTEGER;
  return seam === undefined ? resolveOptions(options) : resolveOptions(seam.options(options), {});
}

const middlewareOf = ({ middleware }: ResolvedOptions, moduleRef: ModuleRef): EventMiddleware[] =>
  middleware.map((each) => (typeof each === 'function' ? new ProvidedMiddleware(each, moduleRef) : each));

async function connect(
  options: ResolvedOptions,
  middleware: readonly EventMiddleware[],
  correlation: Correlation,
  seam?: TestSeam,
): Promise<EventService> {
  const { service, transport } = assembleEventService(
    options,
    middleware,
    new Logger('Events'),
    correlation,
    seam,
  );
  await transport.connect();
  return service;
}

/** Middleware given as a class: looked up when it is first needed, since it may depend on this module itself. */
class ProvidedMiddleware implements EventMiddleware {
  #instance: EventMiddleware | Promise<EventMiddleware> | undefined;

  constructor(
    private readonly type: Type<EventMiddleware>,
    private readonly moduleRef: ModuleRef,
  ) {}

  /**
   * @param anew forgets what was found before: while modules are made, Nest can give a provider that is not finished
   * @throws what Nest throws when a dependency is missing
   */
  async resolve(anew = false): Promise<EventMiddleware> {
    if (anew) this.#instance = undefined;
    try {
      return (this.#instance = await (this.#instance ??= this.#find()));
    } catch (error) {
      this.#instance = undefined;
      throw error;
    }
  }

  async publish(event: OutboundEvent, next: () => Promise<EmitReceipt>): Promise<EmitReceipt> {
    const middleware = await this.resolve();
    return middleware.publish === undefined ? next() : middleware.publish(event, next);
  }

  async consume(context: ConsumeContext, next: () => Promise<unknown>): Promise<unknown> {
    const middleware = await this.resolve();
    return middleware.consume === undefined ? next() : middleware.consume(context, next);
  }

  #find(): EventMiddleware | Promise<EventMiddleware> {
    try {
      return this.moduleRef.get(this.type, { strict: false });
    } catch {
      return this.moduleRef.create(this.type); // not provided anywhere: made here, with what it injects
    }
  }
}
