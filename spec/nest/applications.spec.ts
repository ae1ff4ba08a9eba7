import { Injectable, type Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  createEventService,
  EmitManyError,
  EventsModule,
  EventService,
  OnEvent,
  type EventContext,
} from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { Gate } from '../../lib/testing/conformance/gate';
import { applications } from '../support/applications';
import { RecordingLogger } from '../support/recording-logger';
import { sharedMemory } from '../support/shared-memory';
import { silentLogger } from '../support/silent-logger';

const memory = sharedMemory();
const { start } = applications(() => ({ url: memory.url }));

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('handled events')));

/** A handler in a process of its own, as far as classes go. */
function handlers(who: string, run: () => unknown = () => undefined): Provider {
  @Injectable()
  class Handlers {
    @OnEvent('user.created')
    async handle(event: unknown): Promise<void> {
      received.add([who, event]);
      await run();
    }
  }
  return Handlers;
}

describe('several applications in one process', () => {
  it('do not see each other on private memory brokers', async () => {
    const url = 'memory://';
    const [one, two] = [
      await start({ providers: [handlers('one')] }, { url }),
      await start({ providers: [handlers('two')] }, { url }),
    ];
    await one.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([['one', 1]]);
    await two.get(EventService).emit('user.created', 2);
    expect(await received.atLeast(2)).toEqual([
      ['one', 1],
      ['two', 2],
    ]);
    await Promise.all([one.close(), two.close()]);
    expect(received.items).toHaveLength(2);
  });

  it('do not see each other with different cluster ids on one broker', async () => {
    const one = await start({ providers: [handlers('one')] }, { clusterId: 'eu' });
    await start({ providers: [handlers('two')] }, { clusterId: 'us' });
    await one.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([['one', 1]]);
  });

  it('do not inherit a correlation from a handler of another application', async () => {
    const url = 'memory://';
    const other = await start({}, { url });
    await other.get(EventService).subscribe('x', (_: unknown, context) => {
      received.add([context.correlationId, context.causationId]);
    });
    @Injectable()
    class Crossing {
      @OnEvent('user.created')
      async handle(): Promise<void> {
        await other.get(EventService).emit('x', 1, { id: 'own' });
      }
    }
    const app = await start({ providers: [Crossing] }, { url });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([['own', undefined]]);
  });

  it('fan out: every service gets each event', async () => {
    const one = await start({ providers: [handlers('mail')] }, { appName: 'mail' });
    await start({ providers: [handlers('stock')] }, { appName: 'stock' });
    for (const data of [1, 2]) await one.get(EventService).emit('user.created', data);
    expect([...(await received.atLeast(4))].sort()).toEqual([
      ['mail', 1],
      ['mail', 2],
      ['stock', 1],
      ['stock', 2],
    ]);
  });

  it('compete as instances of one service: each event is handled by one of them', async () => {
    const gate = new Gate();
    const one = await start({ providers: [handlers('a', () => gate.opened)] }, { concurrency: 2 });
    await start({ providers: [handlers('b', () => gate.opened)] }, { concurrency: 2 });
    for (let data = 0; data < 4; data++) await one.get(EventService).emit('user.created', data);
    const all = (await received.atLeast(4)) as [string, number][];
    expect(all.map(([who]) => who).sort()).toEqual(['a', 'a', 'b', 'b']);
    expect(all.map(([, data]) => data).sort()).toEqual([0, 1, 2, 3]);
    gate.open();
  });

  it('emit only with consume: false, and leave the events to who consumes', async () => {
    const script = await start({ providers: [handlers('script')] }, { consume: false });
    await script.get(EventService).emit('user.created', 1);
    await script.get(EventService).subscribe('user.created', () => received.add('script'));
    const service = await start({ providers: [handlers('service')] });
    for (const data of [2, 3, 4]) await script.get(EventService).emit('user.created', data);
    const all = (await received.atLeast(3)) as [string, number][];
    expect(new Set(all.map(([who]) => who))).toEqual(new Set(['service']));
    await service.close();
    expect(received.items).toHaveLength(3);
  });

  it('run in an application context, with no http server', async () => {
    const app = await NestFactory.createApplicationContext(
      {
        module: class Root {},
        imports: [EventsModule.register({ appName: 'worker', url: memory.url })],
        providers: [handlers('worker')],
      },
      { logger: false, abortOnError: false },
    );
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([['worker', 1]]);
    await app.close();
  });
});

describe('EventService.status', () => {
  it('counts what each subscription does', async () => {
    const gate = new Gate();
    @Injectable()
    class Mixed {
      @OnEvent('job.*', { name: 'mixed', retry: { attempts: 1 } })
      async handle(_: unknown, { name }: EventContext): Promise<void> {
        received.add(name);
        if (name === 'job.fails') throw new Error('no');
        if (name === 'job.waits') await gate.opened;
      }
    }
    const app = await start({ providers: [Mixed] });
    const events = app.get(EventService);
    await events.emit('job.works', 1);
    await events.emit('job.waits', 1);
    await events.emit('job.fails', 1);
    await memory.deadLetters(1);
    expect(events.status).toEqual({
      state: 'running',
      connected: true,
      problems: ['1 new dead letters in the cluster within the last minute'],
      subscriptions: [
        { name: 'mixed', patterns: ['job.*'], running: 1, succeeded: 1, retried: 1, deadLettered: 1 },
      ],
    });
    gate.open();
  });
});

describe('EventSubscription.unsubscribe', () => {
  it('ends delivery after what runs; the same handler can be subscribed again and misses nothing', async () => {
    const app = await start({});
    const events = app.get(EventService);
    const gate = new Gate();
    const subscription = await events.subscribe(
      'user.created',
      async (event) => {
        received.add(event);
        await gate.opened;
        received.add(`${String(event)} done`);
      },
      { concurrency: 1 },
    );
    await events.emit('user.created', 'one');
    await received.atLeast(1);
    const ended = subscription.unsubscribe();
    await events.emit('user.created', 'two');
    gate.open();
    await ended;
    expect(received.items).toEqual(['one', 'one done']);
    expect(events.status.subscriptions).toEqual([]);

    await events.subscribe('user.created', (event) => received.add(`${String(event)} again`));
    expect(await received.atLeast(3)).toEqual(['one', 'one done', 'two again']);
    await subscription.unsubscribe(); // of the old one: harmless to the new one
    await events.emit('user.created', 'three');
    expect(await received.atLeast(4)).toEqual(['one', 'one done', 'two again', 'three again']);
  });

  it('keeps the identity taken until it has ended', async () => {
    const app = await start({});
    const events = app.get(EventService);
    const gate = new Gate();
    const subscription = await events.subscribe('user.created', async (event) => {
      received.add(event);
      await gate.opened;
    });
    await events.emit('user.created', 'one');
    await received.atLeast(1);
    const ended = subscription.unsubscribe();
    await expect(events.subscribe('user.created', () => undefined)).rejects.toMatchObject({
      code: 'duplicate_handler',
    });
    gate.open();
    await ended;
    await events.subscribe('user.created', () => undefined);
  });
});

describe('emitMany', () => {
  it('resolves to the receipts in the order given', async () => {
    const app = await start({});
    const receipts = await app.get(EventService).emitMany([
      { name: 'a', data: 1, options: { id: 'first' } },
      { name: 'b', data: 2, options: { id: 'second' } },
      { name: 'a', data: 3, options: { id: 'first' } },
    ]);
    expect(receipts).toEqual([
      { id: 'first', duplicate: false, stream: 'events', sequence: 1 },
      { id: 'second', duplicate: false, stream: 'events', sequence: 2 },
      { id: 'first', duplicate: true, stream: 'events', sequence: 1 },
    ]);
  });

  it('says which events were not stored; the others are', async () => {
    const app = await start({});
    const error = (await app
      .get(EventService)
      .emitMany([
        { name: 'a', data: 1 },
        { name: 'b', data: 10n },
        { name: 'c..', data: 3 },
      ])
      .catch((reason: unknown) => reason)) as EmitManyError;
    expect(error).toBeInstanceOf(EmitManyError);
    expect(error).toMatchObject({ code: 'unserializable', retryable: false });
    expect(error.message).toMatch(/^2 of 3 events were not stored; the first: /);
    expect(error.results).toMatchObject([
      { status: 'fulfilled', value: { sequence: 1 } },
      { status: 'rejected', reason: { code: 'unserializable' } },
      { status: 'rejected', reason: { code: 'invalid_event_name' } },
    ]);
    expect(memory.bodies()).toEqual([1]);
  });

  it('emits nothing for an empty list', async () => {
    const app = await start({});
    await expect(app.get(EventService).emitMany([])).resolves.toEqual([]);
  });
});

describe('createEventService', () => {
  it('emits and handles without Nest, and meets applications on one broker', async () => {
    const app = await start({ providers: [handlers('shop')] });
    const script = await createEventService({ appName: 'script', url: memory.url }, silentLogger);
    await script.subscribe('user.created', (event) => received.add(['script', event]));
    await app.get(EventService).emit('user.created', 1);
    await script.emit('user.created', 2);
    expect([...(await received.atLeast(4))].sort()).toEqual([
      ['script', 1],
      ['script', 2],
      ['shop', 1],
      ['shop', 2],
    ]);
    await script.drain();
    expect(script.status).toMatchObject({ state: 'closed', connected: false });
    await expect(script.emit('user.created', 3)).rejects.toMatchObject({ code: 'closed' });
  });

  it('takes instances of middleware and refuses classes', async () => {
    class Middleware {
      publish(event: { data: unknown }, next: () => Promise<never>): Promise<never> {
        event.data = 'changed';
        return next();
      }
    }
    const options = { appName: 'script', url: memory.url };
    await expect(createEventService({ ...options, middleware: [Middleware] })).rejects.toMatchObject({
      code: 'invalid_configuration',
      message: expect.stringContaining('Middleware') as string,
    });
    const script = await createEventService({ ...options, middleware: [new Middleware()] }, silentLogger);
    await script.emit('x', 1);
    expect(memory.bodies()).toEqual(['changed']);
    await script.drain();
  });

  it('tells failures to the logger it is given', async () => {
    const logger = new RecordingLogger();
    const script = await createEventService({ appName: 'script', url: memory.url }, logger);
    await script.subscribe('x', () => Promise.reject(new Error('no')), { retry: { attempts: 0 } });
    await script.emit('x', 1);
    await logger.until('error', /Error: no; it becomes a dead letter/);
    await script.drain();
  });

  it('rejects wrong options', async () => {
    await expect(createEventService({ appName: ' ', url: memory.url })).rejects.toMatchObject({
      code: 'invalid_configuration',
      option: 'appName',
    });
  });
});
