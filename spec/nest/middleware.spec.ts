import { Inject, Injectable, Module } from '@nestjs/common';
import {
  EventService,
  NonRetryableError,
  OnEvent,
  type ConsumeContext,
  type EmitReceipt,
  type EventContext,
  type EventMiddleware,
  type OutboundEvent,
} from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';
import { sharedMemory } from '../support/shared-memory';

const memory = sharedMemory();
const { start, compile, logger } = applications(() => ({ url: memory.url }));

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('what happened')));

@Injectable()
class Handlers {
  @OnEvent('user.created')
  handle(event: unknown, { headers }: EventContext): void {
    received.add(Object.keys(headers).length === 0 ? event : [event, { ...headers }]);
  }
}

type Next<T> = () => Promise<T>;

/** Says where it is in both directions. */
const tracer = (name: string): EventMiddleware => ({
  publish: async (_event, next) => {
    received.add(`${name} publishes`);
    const receipt = await next();
    received.add(`${name} published`);
    return receipt;
  },
  consume: async (_context, next) => {
    received.add(`${name} consumes`);
    const result = await next();
    received.add(`${name} consumed`);
    return result;
  },
});

describe('middleware', () => {
  it('is wrapped around emit and around handlers, the first listed outermost in both directions', async () => {
    const app = await start(
      { providers: [Handlers] },
      { middleware: [tracer('outer'), tracer('middle'), tracer('inner')] },
    );
    await app.get(EventService).emit('user.created', 'handled');
    const all = await received.atLeast(13);
    const publishing = all.filter((each) => String(each).includes('publish'));
    const consuming = all.filter((each) => !String(each).includes('publish'));
    expect(publishing).toEqual([
      'outer publishes',
      'middle publishes',
      'inner publishes',
      'inner published',
      'middle published',
      'outer published',
    ]);
    expect(consuming).toEqual([
      'outer consumes',
      'middle consumes',
      'inner consumes',
      'handled',
      'inner consumed',
      'middle consumed',
      'outer consumed',
    ]);
  });

  it('may have one direction only', async () => {
    const app = await start(
      { providers: [Handlers] },
      {
        middleware: [
          { publish: (event, next) => ((event.data = `${String(event.data)}, published`), next()) },
          { consume: (context, next) => ((context.data = `${String(context.data)}, consumed`), next()) },
        ],
      },
    );
    await app.get(EventService).emit('user.created', 'Ada');
    expect(await received.atLeast(1)).toEqual(['Ada, published, consumed']);
    expect(memory.bodies()).toEqual(['Ada, published']);
  });

  it('can be a class that a module provides, which is then that instance', async () => {
    @Injectable()
    class Tenant implements EventMiddleware {
      events = 0;
      constructor(@Inject('TENANT') private readonly tenant: string) {}
      publish(event: OutboundEvent, next: Next<EmitReceipt>): Promise<EmitReceipt> {
        this.events++;
        event.headers['x-tenant'] = this.tenant;
        return next();
      }
      consume(_context: ConsumeContext, next: Next<unknown>): Promise<unknown> {
        this.events++;
        return next();
      }
    }
    @Module({ providers: [Tenant, { provide: 'TENANT', useValue: 'acme' }] })
    class TenantModule {}
    const app = await start({ imports: [TenantModule], providers: [Handlers] }, { middleware: [Tenant] });
    await app.get(EventService).emit('user.created', 'Ada');
    expect(await received.atLeast(1)).toEqual([['Ada', { 'x-tenant': 'acme' }]]);
    expect(app.get(Tenant, { strict: false }).events).toBe(2);
  });

  it('can be a class that nobody provides, which is then made once, with what it injects', async () => {
    let made = 0;
    @Injectable()
    class Lonely implements EventMiddleware {
      constructor(private readonly events: EventService) {
        made++;
      }
      publish(event: OutboundEvent, next: Next<EmitReceipt>): Promise<EmitReceipt> {
        event.headers['x-state'] = this.events.status.state;
        return next();
      }
    }
    const app = await start({ providers: [Handlers] }, { middleware: [Lonely] });
    await Promise.all([1, 2, 3].map((data) => app.get(EventService).emit('user.created', data)));
    expect([...(await received.atLeast(3))].sort()).toEqual([
      [1, { 'x-state': 'running' }],
      [2, { 'x-state': 'running' }],
      [3, { 'x-state': 'running' }],
    ]);
    expect(made).toBe(1);
  });

  it('may inject EventService although EventService uses it', async () => {
    @Injectable()
    class Audit implements EventMiddleware {
      constructor(private readonly events: EventService) {}
      async publish(event: OutboundEvent, next: Next<EmitReceipt>): Promise<EmitReceipt> {
        const receipt = await next();
        if (event.name !== 'audit.noted') await this.events.emit('audit.noted', event.name);
        return receipt;
      }
    }
    const app = await start({ providers: [Audit] }, { middleware: [Audit] });
    await app.get(EventService).emit('user.created', 1);
    expect(memory.bodies()).toEqual([1, 'user.created']);
  });

  it('that was needed before it was made is looked up again when the application starts', async () => {
    class Clock {
      now = (): string => 'on time';
    }
    @Injectable()
    class Stamp implements EventMiddleware {
      constructor(private readonly clock?: Clock) {}
      publish(_event: OutboundEvent, next: Next<EmitReceipt>): Promise<EmitReceipt> {
        received.add(this.clock === undefined ? 'without a clock' : this.clock.now());
        return next();
      }
    }
    const early = {
      provide: 'early',
      inject: [EventService],
      useFactory: (events: EventService) => events.emit('user.created', 'early'),
    };
    // Made only when the early emit is through: until then, Nest gives a `Stamp` that nothing was injected into.
    const clock = { provide: Clock, inject: ['early'], useFactory: () => new Clock() };
    const app = await start({ providers: [Stamp, clock, early] }, { middleware: [Stamp] });
    await app.get(EventService).emit('user.created', 'late');
    expect(received.items).toEqual(['without a clock', 'on time']);
  });

  it('is named at start-up when it is a class whose dependencies nobody provides', async () => {
    @Injectable()
    class Broken implements EventMiddleware {
      constructor(@Inject('NOBODY_HAS_THIS') readonly missing: unknown) {}
      publish(_event: OutboundEvent, next: Next<EmitReceipt>): Promise<EmitReceipt> {
        return next();
      }
    }
    const start = async (): Promise<void> => {
      const app = await compile({ providers: [Handlers] }, { middleware: [Broken] });
      await app.init();
    };
    await expect(start()).rejects.toThrow(/Broken/);
  });
});

describe('publish middleware', () => {
  it('can change data, headers and ids', async () => {
    const app = await start(
      { providers: [Handlers] },
      {
        middleware: [
          {
            publish: (event, next) => {
              event.data = { ...(event.data as object), added: new Date(7) };
              event.headers['X-Shard'] = '7';
              event.correlationId = 'given by middleware';
              return next();
            },
          },
        ],
      },
    );
    await app.get(EventService).emit('user.created', { name: 'Ada' }, { headers: { 'X-Own': 'own' } });
    expect(await received.atLeast(1)).toEqual([
      [
        { name: 'Ada', added: new Date(7) },
        { 'X-Own': 'own', 'X-Shard': '7' },
      ],
    ]);
    expect(memory.events()[0]?.headers).toMatchObject({ 'ce-correlationid': 'given%20by%20middleware' });
  });

  it('fails the emit with what it throws, and nothing is sent', async () => {
    const app = await start({}, { middleware: [{ publish: () => Promise.reject(new Error('not today')) }] });
    await expect(app.get(EventService).emit('user.created', 1)).rejects.toThrow('not today');
    expect(memory.events()).toEqual([]);
  });

  it('sees the failure of an emit', async () => {
    const app = await start(
      {},
      {
        middleware: [
          {
            publish: (_event, next) =>
              next().catch((error: unknown) => {
                received.add((error as { code: string }).code);
                throw error;
              }),
          },
        ],
      },
    );
    await expect(app.get(EventService).emit('user.created', 10n)).rejects.toMatchObject({
      code: 'unserializable',
    });
    expect(received.items).toEqual(['unserializable']);
  });

  it.each([
    ['a line break in a value', 'x-a', 'a\r\nNats-Msg-Id: stolen'],
    ['a line break in a key', 'x-a: b\r\nNats-Rollup', 'all'],
    ['a key of the server', 'Nats-Rollup', 'all'],
    ['a key of the package', 'Event-Redrives', '5'],
    ['a CloudEvents attribute in another case', 'CE-Type', 'user.deleted'],
  ])('is held to the rules of headers: %s is refused', async (_title, key, value) => {
    const app = await start(
      {},
      { middleware: [{ publish: (event, next) => ((event.headers[key] = value), next()) }] },
    );
    await expect(app.get(EventService).emit('user.created', 1)).rejects.toMatchObject({
      code: 'invalid_header',
    });
    expect(memory.events()).toEqual([]);
  });
});

describe('consume middleware', () => {
  const consume = (run: NonNullable<EventMiddleware['consume']>): { middleware: EventMiddleware[] } => ({
    middleware: [{ consume: run }],
  });

  it('can swallow an event: the handler does not run and the event is settled', async () => {
    const app = await start(
      { providers: [Handlers] },
      consume(async (context, next) => (context.data === 'skip' ? undefined : next())),
    );
    await app.get(EventService).emit('user.created', 'skip');
    await app.get(EventService).emit('user.created', 'take');
    expect(await received.atLeast(1)).toEqual(['take']);
    await app.close();

    // Settled: the next instance does not get it either.
    const again = await start({ providers: [Handlers] });
    await again.get(EventService).emit('user.created', 'last');
    expect(await received.atLeast(2)).toEqual(['take', 'last']);
  });

  it('that throws fails the attempt, which is retried', async () => {
    const app = await start(
      { providers: [Handlers] },
      consume(async (context, next) => {
        if (context.attempt < 3) throw new Error('not yet');
        return next();
      }),
    );
    await app.get(EventService).emit('user.created', 'Ada');
    expect(await received.atLeast(1)).toEqual(['Ada']);
    expect((await logger.until('warn', /not yet; next attempt/)).message).toContain('Handlers.handle');
  });

  it('can swallow the failure of a handler', async () => {
    @Injectable()
    class Failing {
      @OnEvent('user.created', { concurrency: 1 })
      handle(event: unknown, { attempt }: EventContext): void {
        received.add([event, attempt]);
        throw new Error('no');
      }
    }
    const app = await start(
      { providers: [Failing] },
      consume((_context, next) => next().catch(() => undefined)),
    );
    await app.get(EventService).emit('user.created', 1);
    await app.get(EventService).emit('user.created', 2);
    expect(await received.atLeast(2)).toEqual([
      [1, 1],
      [2, 1],
    ]);
  });

  it('that throws NonRetryableError makes a dead letter at once, without running the handler', async () => {
    const app = await start(
      { providers: [Handlers] },
      consume(() => Promise.reject(new NonRetryableError('the tenant is gone'))),
    );
    await app.get(EventService).emit('user.created', 'Ada');
    const [letter] = await memory.deadLetters(1);
    expect(letter?.headers).toMatchObject({
      'Event-Failure-Reason': 'non_retryable',
      'Event-Failure-Type': 'NonRetryableError',
      'Event-Failure-Message': 'the tenant is gone',
      'Event-Failure-Attempts': '1',
    });
    expect(received.items).toEqual([]);
  });

  it('has the correlation of the event: what it emits inherits it', async () => {
    const app = await start(
      { providers: [Handlers] },
      consume(async (context, next) => {
        if (context.name === 'user.created') await app.get(EventService).emit('user.seen', 1);
        return next();
      }),
    );
    await app.get(EventService).emit('user.created', 'Ada', { id: 'first', correlationId: 'all' });
    await received.atLeast(1);
    expect(memory.events()[1]?.headers).toMatchObject({
      'ce-type': 'user.seen',
      'ce-correlationid': 'all',
      'ce-causationid': 'first',
    });
  });

  it('sees every attribute of the event', async () => {
    const app = await start(
      { providers: [Handlers] },
      consume(async (context, next) => {
        const { id, name, source, time, correlationId, causationId, attempt, headers, subscription, data } =
          context;
        received.add({
          id,
          name,
          source,
          time,
          correlationId,
          causationId,
          attempt,
          headers: { ...headers },
          subscription,
          data,
        });
        return next();
      }),
    );
    await app.get(EventService).emit('user.created', 'Ada', {
      id: 'number 1',
      time: new Date(5),
      causationId: 'cause',
      headers: { 'X-Own': ' own ' },
    });
    expect((await received.atLeast(1))[0]).toEqual({
      id: 'number 1',
      name: 'user.created',
      source: 'shop',
      time: new Date(5),
      correlationId: 'number 1',
      causationId: 'cause',
      attempt: 1,
      headers: { 'X-Own': 'own' },
      subscription: 'Handlers.handle',
      data: 'Ada',
    });
  });
});
