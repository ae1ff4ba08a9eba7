import { Inject, Injectable, Module, type DynamicModule } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  EventsConfigurationError,
  EventsModule,
  EventService,
  OnEvent,
  type EventsModuleOptions,
  type EventsOptionsFactory,
  type EventTransport,
} from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { createMemoryTransport } from '../../lib/transports/memory';
import { applications } from '../support/applications';
import { silentLogger } from '../support/silent-logger';

const { compileBare } = applications();
const options: EventsModuleOptions = { appName: 'shop', url: 'memory://' };

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('received events')));

@Injectable()
class Emitter {
  constructor(readonly events: EventService) {}
}
@Module({ providers: [Emitter], exports: [Emitter] })
class FeatureModule {}
@Injectable()
class Handlers {
  @OnEvent('user.created')
  handle(event: unknown): void {
    received.add(event);
  }
}

/** A module that is registered correctly delivers from one feature module to the other. */
async function expectToWork(registered: DynamicModule | (new () => object)): Promise<void> {
  const app = await compileBare({ imports: [FeatureModule, registered], providers: [Handlers] });
  await app.init();
  await app.get(Emitter, { strict: false }).events.emit('user.created', 'Ada');
  expect(await received.atLeast(1)).toEqual(['Ada']);
  await app.close();
}

const failureOf = (made: Promise<unknown>): Promise<unknown> =>
  made.then(
    () => undefined,
    (error: unknown) => error,
  );

/** A transport of which the test sees whether anybody connected it. */
function watchedTransport(): { transport: EventTransport; connects: () => number } {
  const transport = createMemoryTransport({ clusterId: 'events', delivery: 'durable', logger: silentLogger });
  const connect = jest.spyOn(transport, 'connect');
  return { transport, connects: () => connect.mock.calls.length };
}

describe('EventsModule.register', () => {
  it('makes EventService injectable everywhere', () => expectToWork(EventsModule.register(options)));

  it('finds handlers all the same when it is not global, and is injected where it is imported', async () => {
    const events = EventsModule.register({ ...options, isGlobal: false });
    @Module({ imports: [events], providers: [Emitter] })
    class ImportingModule {}
    await expect(compileBare({ imports: [FeatureModule, events] })).rejects.toThrow(/EventService/);

    const app = await compileBare({ imports: [ImportingModule], providers: [Handlers] });
    await app.init();
    await app.get(Emitter, { strict: false }).events.emit('user.created', 'Ada');
    expect(await received.atLeast(1)).toEqual(['Ada']);
  });

  it('can be imported as one object by several modules', async () => {
    const events = EventsModule.register(options);
    @Module({ imports: [events] })
    class OneModule {}
    @Module({ imports: [events, OneModule] })
    class OtherModule {}
    await expectToWork({ module: class Root {}, imports: [events, OneModule, OtherModule] });
  });

  it.each([
    ['with other options', { ...options, appName: 'other' }],
    ['with the same options', options],
  ])('is an error a second time %s, before anything connects', async (_title, second) => {
    const { transport, connects } = watchedTransport();
    const error = await failureOf(
      compileBare({
        imports: [
          EventsModule.register({ ...options, transport }),
          EventsModule.register({ ...second, transport }),
        ],
      }),
    );
    expect(error).toBeInstanceOf(EventsConfigurationError);
    expect(error).toMatchObject({ code: 'invalid_configuration', option: 'register' });
    expect((error as Error).message).toMatch(/registered 2 times/);
    expect(connects()).toBe(0);
  });

  it('is an error a second time as registerAsync deep in another module', async () => {
    const { transport, connects } = watchedTransport();
    @Module({ imports: [EventsModule.registerAsync({ useFactory: () => ({ ...options, transport }) })] })
    class DeepModule {}
    @Module({ imports: [DeepModule] })
    class LibraryModule {}
    const error = await failureOf(
      compileBare({ imports: [LibraryModule, EventsModule.register({ ...options, transport })] }),
    );
    expect(error).toMatchObject({ code: 'invalid_configuration', option: 'register' });
    expect(connects()).toBe(0);
  });

  it('rejects a wrong option while the application is created, before anything connects', async () => {
    const { transport, connects } = watchedTransport();
    const error = await failureOf(
      compileBare({ imports: [EventsModule.register({ ...options, transport, concurrency: 0 })] }),
    );
    expect(error).toBeInstanceOf(EventsConfigurationError);
    expect(error).toMatchObject({ option: 'concurrency' });
    expect(connects()).toBe(0);
  });

  it('rejects an application that imports the class without registering it', async () => {
    const error = await failureOf(compileBare({ imports: [EventsModule] }));
    expect((error as Error).message).toMatch(/EventsModule/);
  });

  it("composes into a module of one's own", async () => {
    @Module({})
    class BootstrapModule {
      static forRoot(appName: string): DynamicModule {
        return {
          module: BootstrapModule,
          imports: [EventsModule.register({ ...options, appName })],
          exports: [EventsModule],
        };
      }
    }
    await expectToWork(BootstrapModule.forRoot('shop'));
  });
});

describe('EventsModule.registerAsync', () => {
  @Injectable()
  class Config {
    readonly appName = 'configured';
  }
  @Module({ providers: [Config], exports: [Config] })
  class ConfigModule {}
  @Injectable()
  class OptionsFactory implements EventsOptionsFactory {
    constructor(@Inject(Config) private readonly config: Config) {}
    async createEventsOptions(): Promise<EventsModuleOptions> {
      return { ...options, appName: this.config.appName };
    }
  }

  it('takes options from useFactory with inject and imports', async () => {
    let injected: unknown;
    await expectToWork(
      EventsModule.registerAsync({
        imports: [ConfigModule],
        inject: [Config, { token: 'MISSING', optional: true }],
        useFactory: async (config: Config, missing: unknown) => {
          injected = [config.appName, missing];
          return { ...options, appName: config.appName };
        },
      }),
    );
    expect(injected).toEqual(['configured', undefined]);
  });

  it('takes options from useFactory without inject', () =>
    expectToWork(EventsModule.registerAsync({ useFactory: () => options })));

  it('takes options from useClass', () =>
    expectToWork(EventsModule.registerAsync({ imports: [ConfigModule], useClass: OptionsFactory })));

  it('takes options from useExisting', async () => {
    @Module({ imports: [ConfigModule], providers: [OptionsFactory], exports: [OptionsFactory] })
    class FactoryModule {}
    await expectToWork(EventsModule.registerAsync({ imports: [FactoryModule], useExisting: OptionsFactory }));
  });

  it('can be imported as one object by several modules', async () => {
    let made = 0;
    const events = EventsModule.registerAsync({
      useFactory: () => {
        made++;
        return options;
      },
    });
    @Module({ imports: [events] })
    class OneModule {}
    await expectToWork({ module: class Root {}, imports: [OneModule, events] });
    expect(made).toBe(1);
  });

  it('is not global when told so', async () => {
    const events = EventsModule.registerAsync({ isGlobal: false, useFactory: () => options });
    await expect(compileBare({ imports: [FeatureModule, events] })).rejects.toThrow(/EventService/);
  });

  it.each([
    ['none', {}],
    ['two', { useFactory: () => options, useClass: OptionsFactory }],
  ])('refuses %s of the three ways', (_title, wrong) => {
    expect(() => EventsModule.registerAsync(wrong)).toThrow(EventsConfigurationError);
    expect(() => EventsModule.registerAsync(wrong)).toThrow(/exactly one of/);
  });

  it('rejects a wrong option while the application is created, naming it', async () => {
    const error = await failureOf(
      compileBare({
        imports: [EventsModule.registerAsync({ useFactory: () => ({ appName: '', url: 'memory://' }) })],
      }),
    );
    expect(error).toBeInstanceOf(EventsConfigurationError);
    expect(error).toMatchObject({ option: 'appName' });
  });

  it('rejects with what the factory rejects with', async () => {
    const error = await failureOf(
      compileBare({
        imports: [
          EventsModule.registerAsync({
            useFactory: () => Promise.reject(new Error('the vault is sealed')),
          }),
        ],
      }),
    );
    expect((error as Error).message).toBe('the vault is sealed');
  });

  it('names the mistake when the factory makes no options', async () => {
    const nothing = (): EventsModuleOptions => undefined as unknown as EventsModuleOptions;
    const error = await failureOf(
      compileBare({ imports: [EventsModule.registerAsync({ useFactory: nothing })] }),
    );
    expect(error).toBeInstanceOf(EventsConfigurationError);
  });
});

it('F51 options that wait for a provider which waits for the service end the start with a sentence', async () => {
  @Injectable()
  class Settings {
    constructor(readonly events: EventService) {}
  }
  @Module({ imports: [EventsModule], providers: [Settings], exports: [Settings] })
  class SettingsModule {}
  const registered = EventsModule.registerAsync({
    imports: [SettingsModule],
    inject: [Settings],
    useFactory: (_settings: Settings) => ({ appName: 'shop', url: 'memory://' }),
  });
  await expect(
    Test.createTestingModule({ imports: [registered] })
      .setLogger(silentLogger)
      .compile(),
  ).rejects.toThrow(/do not come within 10 s: a provider that it injects probably needs EventService/);
});
