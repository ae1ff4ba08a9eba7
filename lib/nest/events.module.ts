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
import { ClosingModule, LastHook, RegisteredService } from './closing.module';
import { markRegistration, ONE_COPY, registrations, servicesOfOtherCopies } from './copies';
import { Lifecycle } from './lifecycle';
import { GivenOptions } from './options/given-options';
import type { EventsModuleOptions } from './options/options';
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
@Module({
  imports: [ClosingModule],
  // Of a module that is imported without options; `register` and `registerAsync` replace them.
  providers: [
    { provide: Lifecycle, useValue: null },
    {
      provide: EventService,
      inject: [ModulesContainer, RegisteredService],
      useFactory: (modules: ModulesContainer, registered: RegisteredService) => {
        if (registrations(modules).length > 0) return registered.get();
        throw new EventsConfigurationError(
          'register',
          'EventsModule is imported without options: import `EventsModule.register({ appName })` once, at the root; it is ' +
            'global, so that no other module has to import it',
        );
      },
    },
  ],
  exports: [EventService],
})
export class EventsModule implements NestModule, OnApplicationBootstrap, OnModuleDestroy {
  readonly #lifecycle: Lifecycle | null;

  /** @param lifecycle no part of what this package promises; absent where the module is imported without options */
  constructor(@Inject(Lifecycle) lifecycle: object | null) {
    this.#lifecycle = lifecycle as Lifecycle | null;
  }

  /** @throws EventsConfigurationError naming the option or the variable that is wrong */
  static register(options: EventsModuleOptions): DynamicModule {
    return moduleOf(
      options?.isGlobal,
      [],
      [
        {
          provide: RAW_OPTIONS,
          inject: [RegisteredService],
          useFactory: (registered: RegisteredService) => {
            registered.beginOptions();
            return new GivenOptions(options);
          },
        },
      ],
    );
  }

  /** As `register`, with options made by other providers; a wrong one fails the start of the application. */
  static registerAsync(options: EventsModuleAsyncOptions): DynamicModule {
    return moduleOf(options.isGlobal, options.imports ?? [], rawOptionsOf(options));
  }

  /** Called by Nest in applications that serve HTTP, and in no others. */
  configure(consumer: MiddlewareConsumer): void {
    this.#lifecycle?.configure(consumer);
  }

  /** Runs after everybody else's: with the module's distance at its least, Nest calls its hooks last. */
  async onApplicationBootstrap(): Promise<void> {
    await this.#lifecycle?.start();
  }

  /**
   * Runs before everybody else's: handlers finish while what they depend on is still there. `emit` works until everybody
   * else has shut down.
   */
  async onModuleDestroy(): Promise<void> {
    await this.#lifecycle?.stopConsuming();
  }
}

markRegistration(Assembly);

function moduleOf(
  isGlobal: boolean | undefined,
  imports: NonNullable<ModuleMetadata['imports']>,
  rawOptions: Provider[],
): DynamicModule {
  const others = servicesOfOtherCopies();
  return {
    module: EventsModule,
    global: isGlobal ?? true,
    imports: [...imports],
    providers: [
      ...others,
      ...rawOptions,
      {
        provide: Assembly,
        inject: [RAW_OPTIONS, ModuleRef, ModulesContainer, LazyModuleLoader, HttpAdapterHost],
        useFactory: (
          given: GivenOptions,
          moduleRef: ModuleRef,
          modules: ModulesContainer,
          loader: LazyModuleLoader,
          http: HttpAdapterHost,
        ) => {
          const seam = seamOf(modules);
          assertOnlyOne(registrations(modules), seam);
          // Nest runs start-up hooks from the farthest module to the nearest, shutdown hooks the other way round.
          for (const module of modules.values()) {
            if (module.metatype === EventsModule) module.distance = Number.MIN_SAFE_INTEGER;
            // Global modules have the greatest number.
            if (module.metatype === ClosingModule) module.distance = Infinity;
          }
          return new Assembly(given.options, { moduleRef, modules, loader, http }, seam);
        },
      },
      {
        provide: EventService,
        inject: [Assembly, RegisteredService],
        useFactory: async (assembly: Assembly, registered: RegisteredService) => {
          const service = await assembly.connected();
          registered.resolve(service);
          return service;
        },
      },
      {
        provide: DeadLetterService,
        inject: [EventService],
        useFactory: (service: EventService) => service.deadLetters,
      },
      {
        provide: Lifecycle,
        inject: [Assembly, EventService, LastHook],
        useFactory: (assembly: Assembly, service: EventService, lastHook: LastHook) =>
          new Lifecycle(assembly, service, lastHook),
      },
      {
        provide: EventsClient,
        inject: [EventService],
        // A test may provide a service that does not emit.
        useFactory: (service: Partial<EventService>) =>
          typeof service.emit === 'function' ? new EventsClient(service as EventService) : undefined,
      },
      {
        provide: EventsStrategy,
        inject: [Assembly, EventService],
        useFactory: (assembly: Assembly, service: EventService) =>
          new EventsStrategy().servedBy(assembly.strategyBinder(service).bind),
      },
    ],
    exports: [
      EventService,
      DeadLetterService,
      EventsClient,
      EventsStrategy,
      ...others.map(({ provide }) => provide),
    ],
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
  if (useFactory !== undefined) {
    const make = async (registered: RegisteredService, ...args: never[]): Promise<GivenOptions> => {
      registered.beginOptions();
      return new GivenOptions(await useFactory(...args));
    };
    return [{ provide: RAW_OPTIONS, inject: [RegisteredService, ...(inject ?? [])], useFactory: make }];
  }
  const factory = (useExisting ?? useClass) as Type<EventsOptionsFactory>;
  return [
    ...(useClass === undefined ? [] : [useClass]),
    {
      provide: RAW_OPTIONS,
      inject: [RegisteredService, factory],
      useFactory: async (registered: RegisteredService, made: EventsOptionsFactory) => {
        registered.beginOptions();
        return new GivenOptions(await made.createEventsOptions());
      },
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

function assertOnlyOne(registered: readonly unknown[], seam: TestSeam | undefined): void {
  if (registered.length <= 1) return;
  throw new EventsConfigurationError(
    'register',
    `EventsModule is registered ${registered.length} times in one application: register it once, at the root; it is global, ` +
      'so that EventService can be injected everywhere' +
      (new Set(registered).size === 1
        ? ''
        : `. The registrations come from two installed copies of this package: ${ONE_COPY}`) +
      (seam === undefined
        ? ''
        : '. To test an application that registers it, use EventsTestingModule.override'),
  );
}
