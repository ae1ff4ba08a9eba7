import { Controller, Injectable, Module } from '@nestjs/common';
import { EventPattern } from '@nestjs/microservices';
import { Test, type TestingModule } from '@nestjs/testing';
import { DeadLetterService, EventsClient, EventService, EventsModule, OnEvent } from '@venta/events';
import { silentLogger } from '../support/silent-logger';

@Injectable()
class Orders {
  constructor(readonly events: EventService) {}
  @OnEvent('order.placed')
  handle(): void {}
}

@Controller()
class Patterns {
  @EventPattern('order.placed')
  handle(): void {}
}

@Module({ imports: [EventsModule], providers: [Orders] })
class OrdersModule {}

const start = async (metadata: Parameters<typeof Module>[0]): Promise<TestingModule> => {
  const app = await Test.createTestingModule(metadata).setLogger(silentLogger).compile();
  await app.init();
  return app;
};
// Where a stub stands for the service there is no server.
const register = (isGlobal = true): ReturnType<typeof EventsModule.register> =>
  EventsModule.register({ appName: 'shop', url: 'memory://', isGlobal });

describe('F51 a stub in the place of EventService', () => {
  it.each<[string, object]>([
    ['emit alone', { emit: jest.fn(() => Promise.resolve({ id: '1' })) }],
    ['emitMany alone', { emitMany: jest.fn() }],
    ['nothing', {}],
    [
      'methods that give nothing',
      Object.fromEntries(
        ['emit', 'bind', 'bindAll', 'start', 'stopConsuming', 'drain', 'reportOrphans'].map((name) => [
          name,
          jest.fn(),
        ]),
      ),
    ],
    ['an automatic mock', new Proxy({}, { get: (_, key) => (key === 'then' ? undefined : jest.fn()) })],
  ])('needs no more than what the test uses: %s', async (_title, stub) => {
    const module = await Test.createTestingModule({
      imports: [EventsModule.register({ appName: 'shop', url: 'nats://127.0.0.1:1', connectTimeout: 200 })],
      providers: [Orders],
      controllers: [Patterns],
    })
      .overrideProvider(EventService)
      .useValue(stub)
      .compile();
    const app = module.createNestApplication({ logger: false });
    await app.init();
    expect(app.get(Orders).events).toBe(stub);
    await app.close();
  });

  it('is what EventsClient emits through, and has the dead letters it has', async () => {
    const emit = jest.fn(() => Promise.resolve({ id: '1', duplicate: false }));
    const app = await Test.createTestingModule({ imports: [register()] })
      .overrideProvider(EventService)
      .useValue({ emit })
      .compile();
    await app.init();
    app.get(EventsClient).emit('order.placed', 1);
    expect(emit).toHaveBeenCalledTimes(1);
    expect(app.get(DeadLetterService)).toBeUndefined();
    await app.close();
  });
});

describe('F51 EventsModule imported without `register`', () => {
  it('says what is missing', async () => {
    await expect(start({ imports: [OrdersModule] })).rejects.toThrow(
      /EventsModule is imported without options: import `EventsModule.register\(\{ appName \}\)` once/,
    );
    await expect(start({ imports: [EventsModule] })).rejects.toMatchObject({ code: 'invalid_configuration' });
  });

  it.each([
    ['global', true],
    ['not global', false],
  ])(
    'gives the service of the module that is registered elsewhere (%s), and binds once',
    async (_, isGlobal) => {
      for (const order of [0, 1]) {
        const imports = [OrdersModule, register(isGlobal)];
        const app = await start({ imports: order === 0 ? imports : imports.reverse() });
        const { events } = app.get(Orders, { strict: false });
        expect(events).toBeInstanceOf(EventService);
        expect(events.status).toMatchObject({ state: 'running', subscriptions: [{ name: 'Orders.handle' }] });
        await app.close();
        expect(events.status.state).toBe('closed');
      }
    },
  );

  it('works with a service that the test provides', async () => {
    const stub = { emit: jest.fn() };
    const app = await Test.createTestingModule({ imports: [OrdersModule] })
      .overrideProvider(EventService)
      .useValue(stub)
      .compile();
    await app.init();
    expect(app.get(Orders, { strict: false }).events).toBe(stub);
    await app.close();
  });
});
