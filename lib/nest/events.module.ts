import {
  Inject,
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
import { HttpAdapterHost, LazyModuleLoader, ModuleRef, ModulesContainer } from '@nestjs/core';
import { DeadLetterService } from '../core/dead-letter-service';
import { EventsConfigurationError } from '../core/errors';
import { EventService } from '../core/event-service';
import { Assembly } from './assembly';
import { EventsClient } from './bridge/events-client';
import { EventsStrategy } from './bridge/events-strategy';
import type { EventBinder } from './event-binder';
import { EVERY_ROUTE, httpOrigin } from './edge/http-origin';
import { followRpcTargets } from './edge/rpc-origin';
import type { EventsModuleOptions } from './options/options';
import { ProvidedMiddleware } from './provided-middleware';
import { TEST_SEAM, type TestSeam } from './test-seam';

const RAW_OPTIONS = Symbol('EVENTS_MODULE_OPTIONS');

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
  readonly #assembly: Assembly;
  readonly #binder: EventBinder;
  readonly #rpcTargets: { unsubscribe(): void } | undefined;

  /** @param assembly what it is made of, which is no part of what this package promises */
  constructor(
    @Inject(Assembly) assembly: object,
    private readonly service: EventService,
  ) {
    this.#assembly = assembly as Assembly;
    const { application, correlation } = this.#assembly;
    this.#binder = this.#assembly.binder(service);
    // Also where a test provides the strategy: those of `connectMicroservice` need it.
    this.#assembly.strategyBinder(service);
    this.#rpcTargets = followRpcTargets(application.modules, correlation);
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
    consumer.apply(httpOrigin(this.#assembly.correlation)).forRoutes(EVERY_ROUTE);
  }

  /** Runs after everybody else's: with the module's distance at its least, Nest calls its hooks last. */
  async onApplicationBootstrap(): Promise<void> {
    try {
      for (const each of this.#assembly.middleware)
        if (each instanceof ProvidedMiddleware) await each.resolve(true);
      await this.#binder.start();
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
      {
        provide: Assembly,
        inject: [RAW_OPTIONS, ModuleRef, ModulesContainer, LazyModuleLoader, HttpAdapterHost],
        useFactory: (
          given: EventsModuleOptions,
          moduleRef: ModuleRef,
          modules: ModulesContainer,
          loader: LazyModuleLoader,
          http: HttpAdapterHost,
        ) => {
          const seam = seamOf(modules);
          const own = [...modules.values()].filter(({ metatype }) => metatype === EventsModule);
          assertOnlyOne(own.length, seam);
          // Nest runs start-up hooks from the farthest module to the nearest, shutdown hooks the other way round.
          for (const module of own) module.distance = Number.MIN_SAFE_INTEGER;
          return new Assembly(given, { moduleRef, modules, loader, http }, seam);
        },
      },
      {
        provide: EventService,
        inject: [Assembly],
        useFactory: (assembly: Assembly) => assembly.connected(),
      },
      {
        provide: DeadLetterService,
        inject: [EventService],
        useFactory: (service: EventService) => service.deadLetters,
      },
      EventsClient,
      {
        provide: EventsStrategy,
        inject: [Assembly, EventService],
        useFactory: (assembly: Assembly, service: EventService) =>
          new EventsStrategy().servedBy(assembly.strategyBinder(service).bind),
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

/** Looked up here: that nobody provides it is an error to Nest, made with all its text before it is passed over. */
function seamOf(modules: ModulesContainer): TestSeam | undefined {
  for (const { providers, isGlobal } of modules.values()) {
    const seam = isGlobal ? providers.get(TEST_SEAM) : undefined;
    if (seam !== undefined) return seam.instance as TestSeam;
  }
  return undefined;
}

function assertOnlyOne(registered: number, seam: TestSeam | undefined): void {
  if (registered <= 1) return;
  throw new EventsConfigurationError(
    'register',
    `EventsModule is registered ${registered} times in one application: register it once, at the root; it is global, ` +
      'so that EventService can be injected everywhere' +
      (seam === undefined
        ? ''
        : '. To test an application that registers it, use EventsTestingModule.override'),
  );
}
