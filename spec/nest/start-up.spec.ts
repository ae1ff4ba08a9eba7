import {
  Injectable,
  Module,
  type OnApplicationBootstrap,
  type OnModuleInit,
  type Provider,
} from '@nestjs/common';
import {
  defineEvent,
  EventsError,
  EventService,
  EventsModule,
  OnEvent,
  type EventTransport,
} from '@venta/events';
import { z } from 'zod';
import { Collector } from '../../lib/testing/conformance/collector';
import { createMemoryTransport } from '../../lib/transports/memory';
import { applications } from '../support/applications';
import { silentLogger } from '../support/silent-logger';

const { start, compile, compileBare } = applications();

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('received events')));

/** Several turns of the event loop: the memory broker delivers within one. */
const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
};

@Injectable()
class Handlers {
  @OnEvent('user.created', { concurrency: 1 })
  handle(event: unknown): void {
    received.add(event);
  }
}

const handlerOf = (event: string | string[]): Provider => {
  @Injectable()
  class Wrong {
    @OnEvent(event)
    handle(): void {}
  }
  return Wrong;
};

/** How the start of an application with these providers fails. */
async function startUpError(
  providers: Provider[],
  options: Parameters<typeof compile>[1] = {},
): Promise<EventsError> {
  const app = await compile({ providers }, options);
  const error: unknown = await app.init().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(EventsError);
  expect(app.get(EventService).status).toMatchObject({ state: 'closed', connected: false });
  return error as EventsError;
}

describe('while an application starts', () => {
  it('what anybody emits in a hook or an async factory reaches the handlers of the same application', async () => {
    @Injectable()
    class Early implements OnModuleInit, OnApplicationBootstrap {
      constructor(private readonly events: EventService) {}
      async onModuleInit(): Promise<void> {
        await this.events.emit('user.created', 'onModuleInit');
      }
      async onApplicationBootstrap(): Promise<void> {
        await this.events.emit('user.created', 'onApplicationBootstrap');
      }
    }
    @Module({ providers: [Early] })
    class EarlyModule {}
    const byFactory = {
      provide: 'BY_FACTORY',
      inject: [EventService],
      useFactory: (events: EventService) => events.emit('user.created', 'factory'),
    };
    await start({ imports: [EarlyModule], providers: [byFactory, Handlers] });
    expect(await received.atLeast(3)).toEqual(['factory', 'onModuleInit', 'onApplicationBootstrap']);
  });

  it('nothing is delivered before every bootstrap hook of every module has completed', async () => {
    const slow = (who: string): Provider => {
      @Injectable()
      class Slow implements OnModuleInit, OnApplicationBootstrap {
        constructor(private readonly events: EventService) {}
        async onModuleInit(): Promise<void> {
          await this.events.subscribe('user.created', (event) => received.add(['subscribed', event]), {
            name: who,
          });
          await this.events.emit('user.created', who);
          await turns();
          received.add(`${who} initialised`);
        }
        async onApplicationBootstrap(): Promise<void> {
          await turns();
          received.add(`${who} bootstrapped`);
        }
      }
      return { provide: who, useClass: Slow };
    };
    @Module({ providers: [slow('nested')] })
    class NestedModule {}
    @Module({ imports: [NestedModule], providers: [slow('feature')] })
    class FeatureModule {}
    await start({ imports: [FeatureModule], providers: [slow('root'), Handlers] });

    const order = await received.atLeast(6 + 3 * 3);
    const hooks = order.slice(0, 6) as string[];
    expect([...hooks].sort()).toEqual([
      'feature bootstrapped',
      'feature initialised',
      'nested bootstrapped',
      'nested initialised',
      'root bootstrapped',
      'root initialised',
    ]);
  });

  it('waits with delivery wherever the events module stands in the tree', async () => {
    @Injectable()
    class Root implements OnModuleInit, OnApplicationBootstrap {
      constructor(private readonly events: EventService) {}
      async onModuleInit(): Promise<void> {
        await this.events.emit('user.created', 'delivered');
      }
      async onApplicationBootstrap(): Promise<void> {
        await turns();
        received.add('bootstrapped');
      }
    }
    @Module({ imports: [EventsModule.register({ appName: 'shop', url: 'memory://' })] })
    class DeepModule {}
    @Module({ imports: [DeepModule] })
    class LessDeepModule {}
    const app = await compileBare({ imports: [LessDeepModule], providers: [Root, Handlers] });
    await app.init();
    expect(await received.atLeast(2)).toEqual(['bootstrapped', 'delivered']);
  });

  it('subscribes at once when the application runs', async () => {
    const app = await start({});
    const events = app.get(EventService);
    const subscription = await events.subscribe('user.*', (event) => received.add(event));
    expect(subscription).toMatchObject({ name: 'user.*', patterns: ['user.*'] });
    await events.emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([1]);
  });

  it('rejects a second subscription under one default name, and takes it under another', async () => {
    @Injectable()
    class Twice implements OnModuleInit {
      constructor(private readonly events: EventService) {}
      async onModuleInit(): Promise<void> {
        await this.events.subscribe('user.created', () => undefined);
        await this.events.subscribe('user.created', () => undefined, { name: 'another' });
        const error = await this.events.subscribe('user.created', () => undefined).catch((e: unknown) => e);
        received.add(error);
      }
    }
    await start({ providers: [Twice] });
    const [error] = await received.atLeast(1);
    expect(error).toMatchObject({ code: 'duplicate_handler' });
    expect((error as Error).message).toMatch(/'user\.created'.*`name`/);
  });
});

describe('a start-up that must fail', () => {
  it('has a subscription with the identity of a decorated method', async () => {
    @Injectable()
    class Same implements OnModuleInit {
      constructor(private readonly events: EventService) {}
      async onModuleInit(): Promise<void> {
        await this.events.subscribe('x', () => undefined, { name: 'Handlers handle' });
      }
    }
    const error = await startUpError([Same, Handlers]);
    expect(error.code).toBe('duplicate_handler');
    expect(error.message).toMatch(/Handlers handle.*Handlers\.handle/);
  });

  it.each([
    [['user.created', 'user.*']],
    [['user.*', '*.created']],
    [['user.>', 'user.created.late']],
    [['>', 'x']],
  ])('has a handler with patterns that overlap: %j', async (patterns) => {
    const error = await startUpError([handlerOf(patterns)]);
    expect(error.code).toBe('invalid_pattern');
    expect(error.message).toContain("handler 'Wrong.handle'");
    for (const pattern of patterns) expect(error.message).toContain(`'${pattern}'`);
  });

  it.each([
    '',
    '.',
    'user.',
    '.user',
    'user..created',
    'user created',
    'user.cre*',
    'user.>.created',
    '>.user',
    'üser.created',
    'user\r\n.created',
    'x'.repeat(201),
  ])('has a handler with the invalid pattern %j', async (pattern) => {
    const error = await startUpError([handlerOf(pattern)]);
    expect(error.code).toBe('invalid_pattern');
    expect(error.message).toContain("handler 'Wrong.handle'");
    expect(error.message).not.toMatch(/[\r\n]/);
  });

  it('has a handler of no event', async () => {
    const error = await startUpError([handlerOf([])]);
    expect(error.code).toBe('invalid_pattern');
    expect(error.message).toContain("handler 'Wrong.handle'");
  });

  it('is strict and has a handler of an event without a contract', async () => {
    const events = [defineEvent('user.created', { schema: z.string() })];
    const error = await startUpError([handlerOf(['user.created', 'user.delted'])], { strict: true, events });
    expect(error.code).toBe('unknown_event');
    expect(error.message).toContain("handler 'Wrong.handle'");
    expect(error.message).toContain("'user.delted'");
  });

  it('closes what it has opened and rejects with the first error when the broker refuses a handler', async () => {
    const broker = createMemoryTransport({ clusterId: 'events', delivery: 'durable', logger: silentLogger });
    const stopped: string[] = [];
    let closed = 0;
    const transport: EventTransport = {
      connect: () => broker.connect(),
      publish: (message) => broker.publish(message),
      status: () => broker.status(),
      subscribe: async (spec, consumer) => {
        if (spec.handler === 'Wrong.handle') throw new EventsError('permission_denied', 'you may not');
        const subscription = broker.subscribe(spec, consumer);
        return {
          start: () => subscription.start(),
          limit: (concurrency) => subscription.limit(concurrency),
          stop: (timeout) => {
            stopped.push(spec.handler);
            return subscription.stop(timeout);
          },
        };
      },
      close: () => {
        closed++;
        return broker.close();
      },
    };
    const error = await startUpError([Handlers, handlerOf('user.deleted')], { transport });
    expect(error.code).toBe('permission_denied');
    expect(stopped).toEqual(['Handlers.handle']);
    expect(closed).toBe(1);
    await expect(
      transport.publish({ name: 'x', messageId: '', headers: {}, body: Buffer.alloc(0) }),
    ).rejects.toThrow(/closed/);
  });

  it('gives no events to the handlers that could be bound', async () => {
    @Injectable()
    class Early implements OnModuleInit {
      constructor(private readonly events: EventService) {}
      async onModuleInit(): Promise<void> {
        await this.events.emit('user.created', 1);
      }
    }
    await startUpError([Early, Handlers, handlerOf('user..x')]);
    await turns();
    expect(received.items).toEqual([]);
  });
});

describe('strict mode', () => {
  const events = [defineEvent('user.created', { schema: z.string() })];

  it('starts with handlers of known events and of wildcards, and emits what has a contract', async () => {
    const app = await start({ providers: [Handlers, handlerOf('order.*')] }, { strict: true, events });
    await app.get(EventService).emit('user.created', 'Ada');
    expect(await received.atLeast(1)).toEqual(['Ada']);
  });

  it('rejects to emit an event without a contract', async () => {
    const app = await start({}, { strict: true, events });
    const error: unknown = await app
      .get(EventService)
      .emit('user.deleted', 'Ada')
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'unknown_event' });
    expect((error as Error).message).toContain("'user.deleted'");
  });

  it('rejects to subscribe to an event without a contract', async () => {
    const app = await start({}, { strict: true, events });
    await expect(app.get(EventService).subscribe('user.deleted', () => undefined)).rejects.toMatchObject({
      code: 'unknown_event',
    });
  });
});
