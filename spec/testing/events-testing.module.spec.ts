import { Injectable, Module, type DynamicModule } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  defineEvent,
  EventService,
  EventsModule,
  OnEvent,
  type EventContext,
  type EventMiddleware,
} from '@venta/events';
import { EventsTestingModule, TestEvents, type EventsTestingOptions } from '@venta/events/testing';
import { z } from 'zod';
import { silentLogger } from '../support/silent-logger';

const open: TestingModule[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((app) => app.close()));
});

async function start(...imports: (DynamicModule | (new () => object))[]): Promise<TestingModule> {
  const app = await Test.createTestingModule({ imports }).setLogger(silentLogger).compile();
  await app.init();
  open.push(app);
  return app;
}

@Injectable()
class Welcome {
  readonly sources: string[] = [];

  constructor(private readonly events: EventService) {}

  @OnEvent('user.created')
  async send({ userId }: { userId: string }, { source }: EventContext): Promise<void> {
    this.sources.push(source);
    await this.events.emit('mail.sent', { to: userId });
  }
}

const tagging: EventMiddleware = {
  publish: (event, next) => {
    event.headers['tag'] = 'real';
    return next();
  },
};

const OPTIONS = {
  appName: 'mail-service',
  // Nobody listens there.
  url: 'nats://127.0.0.1:1',
  connection: { token: 'secret' },
  connectTimeout: 50,
  retry: { attempts: 1, delay: 10 },
  middleware: [tagging],
  events: [defineEvent('user.created', { schema: z.object({ userId: z.string() }) })],
};

const registered: [string, () => DynamicModule][] = [
  ['register', () => EventsModule.register(OPTIONS)],
  ['registerAsync', () => EventsModule.registerAsync({ useFactory: async () => OPTIONS })],
  ['register, not global', () => EventsModule.register({ ...OPTIONS, isGlobal: false })],
];

/** An application as it would run, on a server that is not there. */
function applicationWith(events: DynamicModule): DynamicModule {
  @Module({})
  class MailModule {}
  return { module: MailModule, imports: [events], providers: [Welcome] };
}

describe('EventsTestingModule.override', () => {
  it.each(registered)(
    'takes over an application with %s, whichever is imported first',
    async (_how, real) => {
      for (const first of [true, false]) {
        const both = [applicationWith(real()), EventsTestingModule.override()];
        const app = await start(...(first ? both : both.reverse()));
        const events = app.get(TestEvents);
        await app.get(EventService, { strict: false }).emit('user.created', { userId: 'user-1' });
        await events.settled();
        expect(app.get(Welcome).sources).toEqual(['mail-service']);
        expect(events.emitted('mail.sent')).toMatchObject([
          { data: { to: 'user-1' }, source: 'mail-service', headers: { tag: 'real' } },
        ]);
      }
    },
  );

  it('keeps the contracts and the retries of the application', async () => {
    const app = await start(
      applicationWith(EventsModule.register(OPTIONS)),
      EventsTestingModule.override({ test: { fail: { probability: 1 } } }),
    );
    const events = app.get(TestEvents);
    const service = app.get(EventService);
    await expect(service.emit('user.created', { userId: 1 })).rejects.toMatchObject({
      code: 'validation_failed',
    });
    await service.emit('user.created', { userId: 'user-1' });
    await events.advance(10);
    expect(events.failed('user.created')).toHaveLength(2);
    expect(events.deadLettered('user.created')).toHaveLength(1);
  });

  it('gives its own options precedence', async () => {
    const app = await start(
      applicationWith(EventsModule.register(OPTIONS)),
      EventsTestingModule.override({
        appName: 'other',
        middleware: [],
        events: undefined,
        retry: { delay: 70 },
      }),
    );
    const events = app.get(TestEvents);
    await app.get(EventService).subscribe('a', () => {
      throw new Error('no');
    });
    await app.get(EventService).emit('a', {});
    await events.advance(70);
    expect(events.emitted('a')).toMatchObject([{ source: 'other', headers: {} }]);
    expect(events.failed('a').map(({ settlement }) => settlement)).toMatchObject([
      { kind: 'retry', delay: 70 },
      { kind: 'dead-letter' },
    ]);
  });

  it('replaces a dynamic module that the test can name', async () => {
    const real = EventsModule.register(OPTIONS);
    const app = await Test.createTestingModule({ imports: [applicationWith(real)] })
      .overrideModule(real)
      .useModule(EventsTestingModule.register({ appName: 'instead' }))
      .compile();
    await app.init();
    open.push(app);
    await app.get(EventService).emit('user.created', { userId: 'user-1' });
    await app.get(TestEvents).settled();
    expect(app.get(Welcome).sources).toEqual(['instead']);
  });

  it('fails where there is nothing to take over', async () => {
    const app = await Test.createTestingModule({ imports: [EventsTestingModule.override()] }).compile();
    await expect(app.init()).rejects.toThrow(/found no EventsModule.*EventsTestingModule\.register/);
  });
});

describe('EventsTestingModule.register', () => {
  @Module({ imports: [EventsModule.register(OPTIONS)] })
  class RealModule {}

  it('says what to use where the application has registered the real one', async () => {
    const compiled = Test.createTestingModule({ imports: [RealModule, EventsTestingModule.register()] })
      .setLogger(silentLogger)
      .compile();
    await expect(compiled).rejects.toThrow(/registered 2 times.*EventsTestingModule\.override/);
  });

  describe('with variables in the environment', () => {
    const before = { ...process.env };
    afterEach(() => {
      process.env = { ...before };
    });

    it('looks at none of them', async () => {
      Object.assign(process.env, {
        NATS_URL: 'nats://127.0.0.1:1',
        NATS_USER: 'half',
        NATS_TOKEN: 'too much',
        APP_NAME: 'elsewhere',
        EVENT_CONSUME: 'false',
        EVENT_RETRY_DELAY: 'nonsense',
      });
      const app = await start(EventsTestingModule.register());
      const events = app.get(TestEvents);
      await app.get(EventService).subscribe('a', () => undefined);
      await app.get(EventService).emit('a', {});
      await events.settled();
      expect(events.handled('a')).toMatchObject([{ app: 'test', source: 'test' }]);
    });
  });

  it.each<[string, EventsTestingOptions]>([
    ['test.fail.probability', { test: { fail: { probability: 2 } } }],
    ['test.fail.probability', { test: { fail: {} as { probability: number } } }],
    ['test.fail.events', { test: { fail: { probability: 1, events: ['a b'] } } }],
    ['test.timeout', { test: { timeout: 0 } }],
    ['test.now', { test: { now: new Date(NaN) } }],
    ['test.duplicates', { test: { duplicates: true } as object }],
  ])('names a wrong option, %s', (option, options) => {
    expect(() => EventsTestingModule.register(options)).toThrow(
      expect.objectContaining({ code: 'invalid_configuration', option }) as Error,
    );
  });

  it('names a wrong option of the module itself', async () => {
    const compiled = Test.createTestingModule({ imports: [EventsTestingModule.register({ concurrency: 0 })] })
      .setLogger(silentLogger)
      .compile();
    await expect(compiled).rejects.toMatchObject({ option: 'concurrency' });
  });

  it('keeps two applications apart', async () => {
    const [one, other] = [
      await start(EventsTestingModule.register()),
      await start(EventsTestingModule.register()),
    ];
    await other.get(EventService).subscribe('a', () => undefined);
    await one.get(EventService).emit('a', {});
    await one.get(TestEvents).settled();
    await other.get(TestEvents).settled();
    expect(other.get(TestEvents).handled()).toEqual([]);
  });

  it('joins the applications that are given the same TestEvents', async () => {
    const events = new TestEvents();
    const users = await start(EventsTestingModule.register({ appName: 'users', test: events }));
    const mails = await start(
      applicationWith(EventsModule.register(OPTIONS)),
      EventsTestingModule.override({ test: events }),
    );
    expect(mails.get(TestEvents)).toBe(events);
    await users.get(EventService).emit('user.created', { userId: 'user-1' });
    await events.settled();
    expect(events.handled('user.created')).toMatchObject([{ app: 'mail-service', source: 'users' }]);
    expect(events.emitted('mail.sent')).toMatchObject([{ source: 'mail-service' }]);
    await users.close();
    await mails.get(EventService).emit('user.created', { userId: 'user-2' });
    await events.settled();
    expect(events.handled('user.created')).toHaveLength(2);
  });

  it('serves one application after the other with the same TestEvents', async () => {
    const events = new TestEvents({ duplicate: true });
    for (const appName of ['first', 'second']) {
      const app = await start(EventsTestingModule.register({ appName, test: events }));
      await app.get(EventService).subscribe('a', () => undefined);
      await app.get(EventService).emit('a', {});
      await events.settled();
      expect(events.handled('a').filter(({ app }) => app === appName)).toHaveLength(2);
      await app.close();
      await expect(events.settled()).rejects.toThrow(/app\.init/);
    }
  });

  it('runs an HTTP application as well', async () => {
    const compiled = await Test.createTestingModule({
      imports: [applicationWith(EventsModule.register(OPTIONS)), EventsTestingModule.override()],
    }).compile();
    const app = compiled.createNestApplication({ logger: silentLogger });
    await app.init();
    await app.get(EventService).emit('user.created', { userId: 'user-1' });
    await app.get(TestEvents).settled();
    expect(app.get(TestEvents).handled('user.created')).toHaveLength(1);
    await app.close();
  });
});
