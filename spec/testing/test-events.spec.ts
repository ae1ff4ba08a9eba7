import { Inject, Injectable } from '@nestjs/common';
import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  defineEvent,
  DeadLetterService,
  EventService,
  NonRetryableError,
  OnEvent,
  RetryAfterError,
  type EventContext,
  type EventMiddleware,
} from '@venta/events';
import { EventsTestingModule, TestEvents, type EventsTestingOptions } from '@venta/events/testing';
import { z } from 'zod';
import { Gate } from '../../lib/testing/conformance/gate';
import { silentLogger } from '../support/silent-logger';

const open: TestingModule[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((app) => app.close()));
});

async function start(
  metadata: ModuleMetadata,
  options?: EventsTestingOptions,
): Promise<{ app: TestingModule; service: EventService; events: TestEvents }> {
  const app = await Test.createTestingModule({
    ...metadata,
    imports: [EventsTestingModule.register(options), ...(metadata.imports ?? [])],
  })
    .setLogger(silentLogger)
    .compile();
  await app.init();
  open.push(app);
  return { app, service: app.get(EventService), events: app.get(TestEvents) };
}

/** Fails as often as it is told, and tells when it ran by the test's clock. */
@Injectable()
class Flaky {
  failures = 0;
  readonly ran: { attempt: number; at: number }[] = [];

  constructor(@Inject(TestEvents) private readonly events: TestEvents) {}

  @OnEvent('user.created')
  handle(_event: unknown, { attempt }: EventContext): void {
    this.ran.push({ attempt, at: this.events.now.getTime() });
    if (this.ran.length <= this.failures) throw new TypeError('mail server is down');
  }
}

describe('settled', () => {
  it('resolves at once when nothing was emitted', async () => {
    const { events } = await start({});
    await events.settled();
  });

  it('waits for an emit that nobody awaits, and for its handler', async () => {
    const { events, service } = await start({ providers: [Flaky] });
    void service.emit('user.created', { userId: 'user-1' });
    await events.settled();
    expect(events.handled('user.created')).toHaveLength(1);
  });

  it('waits for what handlers emit in turn, through a long chain of slow handlers', async () => {
    const { events, service } = await start({});
    const seen: number[] = [];
    await service.subscribe('count.down', async ({ left }: { left: number }) => {
      await new Promise((resolve) => setImmediate(resolve));
      seen.push(left);
      if (left > 0) await service.emit('count.down', { left: left - 1 });
    });
    await service.emit('count.down', { left: 300 });
    await events.settled();
    expect(seen).toHaveLength(301);
    expect(events.emitted('count.down').at(-1)?.data).toEqual({ left: 0 });
  });

  it('waits for every handler of many events, few at a time', async () => {
    const { events, service } = await start({}, { concurrency: 3 });
    let running = 0;
    let most = 0;
    const handle = async (): Promise<void> => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
    };
    await service.subscribe('tick', handle, { name: 'a' });
    await service.subscribe('tick', handle, { name: 'b' });
    for (let i = 0; i < 500; i++) await service.emit('tick', i);
    await events.settled();
    expect(events.handled('tick')).toHaveLength(1000);
    expect({ running, most }).toEqual({ running: 0, most: 6 });
  });

  it('waits for ephemeral events as well', async () => {
    const { events, service } = await start({ providers: [Flaky] }, { delivery: 'ephemeral' });
    for (let i = 0; i < 300; i++) await service.emit('user.created', i);
    await events.settled();
    expect(events.handled()).toHaveLength(300);
  });

  it('does not wait for a retry', async () => {
    const { app, events, service } = await start({ providers: [Flaky] });
    app.get(Flaky).failures = 1;
    await service.emit('user.created', {});
    await events.settled();
    expect(events.failed('user.created')).toMatchObject([
      { attempt: 1, subscription: 'Flaky.handle', settlement: { kind: 'retry', delay: 1000 } },
    ]);
    expect(events.handled()).toEqual([]);
  });

  it('runs a retry without delay', async () => {
    const { app, events, service } = await start({ providers: [Flaky] }, { retry: { delay: 0 } });
    app.get(Flaky).failures = 2;
    await service.emit('user.created', {});
    await events.settled();
    expect(events.handled()).toMatchObject([{ attempt: 3 }]);
  });

  it('waits for a redriven dead letter', async () => {
    const { app, events, service } = await start({ providers: [Flaky] }, { retry: { attempts: 0 } });
    app.get(Flaky).failures = 1;
    await service.emit('user.created', {});
    await events.settled();
    expect(events.deadLettered()).toHaveLength(1);
    const letters = app.get(DeadLetterService);
    expect(await letters.redrive({})).toMatchObject({ redriven: ['1'] });
    await events.settled();
    expect(events.handled('user.created')).toHaveLength(1);
    expect((await letters.list()).items).toEqual([]);
  });

  it('names the handler and the event that never end', async () => {
    const { events, service } = await start({});
    const gate = new Gate();
    await service.subscribe('report.due', () => gate.opened, { name: 'Reports.write' });
    await service.emit('report.due', {});
    await expect(events.settled({ timeout: 50 })).rejects.toThrow(
      /did not settle within 50 ms: 'Reports.write' handles 'report.due' \(attempt 1\)/,
    );
    gate.open();
    await events.settled();
  });

  it('names an emit that never ends', async () => {
    const gate = new Gate();
    const middleware: EventMiddleware = {
      publish: async (_event, next) => {
        await gate.opened;
        return next();
      },
    };
    const { events, service } = await start({}, { middleware: [middleware], test: { timeout: 50 } });
    const emitted = service.emit('user.created', {});
    await expect(events.settled()).rejects.toThrow(/'user.created' is being emitted/);
    gate.open();
    await emitted;
    await events.settled();
  });

  it('gives up a chain without end', async () => {
    const { events, service } = await start({}, { test: { timeout: 50 } });
    let on = true;
    await service.subscribe('ping', () => (on ? service.emit('ping', {}) : undefined));
    await service.emit('ping', {});
    await expect(events.settled()).rejects.toThrow(/did not settle.*without end\?/);
    on = false;
    await events.settled();
  });

  it('is not stopped by faked timers', async () => {
    const { app, events, service } = await start({ providers: [Flaky] });
    app.get(Flaky).failures = 1;
    jest.useFakeTimers();
    try {
      await service.emit('user.created', {});
      await events.advance(1000);
    } finally {
      jest.useRealTimers();
    }
    expect(events.handled()).toMatchObject([{ attempt: 2 }]);
  });

  it('says that the application has not started', async () => {
    const app = await Test.createTestingModule({
      imports: [EventsTestingModule.register()],
    }).compile();
    await expect(app.get(TestEvents).settled()).rejects.toThrow(/app\.init\(\)/);
    await app.init();
    await app.get(TestEvents).settled();
    await app.close();
  });

  it('does not hold up the end of an application whose handler hangs', async () => {
    const { app, service } = await start({}, { shutdownTimeout: 20 });
    const gate = new Gate();
    const entered = new Promise<void>((resolve) => {
      void service.subscribe('hang', () => {
        resolve();
        return gate.opened;
      });
    });
    await service.emit('hang', {});
    await entered;
    await app.close();
    gate.open();
  });
});

describe('advance', () => {
  it('runs the retries that are due, each at its moment', async () => {
    const { app, events, service } = await start({ providers: [Flaky] });
    const flaky = app.get(Flaky);
    flaky.failures = 3;
    const began = events.now.getTime();
    await service.emit('user.created', {});
    await events.advance(5000);
    expect(flaky.ran.map(({ at }) => at - began)).toEqual([0, 1000, 3000]);
    expect(events.handled()).toEqual([]);
    await events.advance(1999);
    expect(events.now.getTime() - began).toBe(6999);
    expect(events.handled()).toEqual([]);
    await events.advance(1);
    expect(events.handled('user.created')).toMatchObject([{ attempt: 4 }]);
  });

  it('brings an event that keeps failing to the dead letters', async () => {
    const { app, events, service } = await start({ providers: [Flaky] }, { retry: { attempts: 2 } });
    app.get(Flaky).failures = Infinity;
    const { id } = await service.emit('user.created', { userId: 'user-1' });
    await events.advance(3_600_000);
    expect(events.failed('user.created').map(({ settlement }) => settlement.kind)).toEqual([
      'retry',
      'retry',
      'dead-letter',
    ]);
    expect(events.deadLettered('user.created')).toMatchObject([
      {
        id,
        name: 'user.created',
        data: { userId: 'user-1' },
        app: 'test',
        subscription: 'Flaky.handle',
        reason: 'attempts_exhausted',
        type: 'TypeError',
        message: 'mail server is down',
        attempts: 3,
      },
    ]);
    const { items } = await app.get(DeadLetterService).list();
    expect(items).toMatchObject([{ eventId: id, attempts: 3, reason: 'attempts_exhausted' }]);
  });

  it('honours what handlers say about their retry', async () => {
    const { events, service } = await start({});
    const attempts: number[] = [];
    await service.subscribe('later', (_data, { attempt }) => {
      attempts.push(attempt);
      if (attempt === 1) throw new RetryAfterError(10_000);
      throw new NonRetryableError('no use');
    });
    await service.emit('later', {});
    await events.advance(9999);
    expect(attempts).toEqual([1]);
    await events.advance(1);
    expect(events.deadLettered()).toMatchObject([{ reason: 'non_retryable', message: 'no use' }]);
  });

  it('runs together what is due at one moment', async () => {
    const { events, service } = await start({});
    const both = new Gate();
    let waiting = 0;
    await service.subscribe('pair', async (_data, { attempt }) => {
      if (attempt === 1) throw new Error('first');
      if (++waiting === 2) both.open();
      await both.opened;
    });
    await service.emit('pair', 1);
    await service.emit('pair', 2);
    await events.advance(1000);
    expect(events.handled('pair')).toHaveLength(2);
  });

  it('moves the time of events, and no handler runs before its time', async () => {
    const now = new Date('2026-03-01T00:00:00Z');
    const { events, service } = await start({}, { test: { now } });
    await service.emit('a', {});
    await events.advance(60_000);
    await service.emit('a', {});
    expect(events.emitted('a').map(({ time }) => time.toISOString())).toEqual([
      '2026-03-01T00:00:00.000Z',
      '2026-03-01T00:01:00.000Z',
    ]);
  });

  it('opens and closes circuits', async () => {
    const { events, service } = await start({});
    let down = true;
    const circuitBreaker = { threshold: 2, window: 10_000, pause: 30_000 };
    await service.subscribe(
      'charge',
      () => {
        if (down) throw new Error('down');
      },
      { circuitBreaker, concurrency: 1, retry: { delay: 60_000, maxDelay: 60_000 } },
    );
    for (let i = 0; i < 5; i++) await service.emit('charge', i);
    await events.settled();
    expect(events.failed('charge')).toHaveLength(2);
    down = false;
    await events.advance(30_000);
    expect(events.handled('charge')).toHaveLength(3);
    await events.advance(30_000);
    expect(events.handled('charge')).toHaveLength(5);
  });

  it.each([-1, NaN, Infinity])('refuses to move by %s', async (ms) => {
    const { events } = await start({});
    await expect(events.advance(ms)).rejects.toThrow(/milliseconds >= 0/);
  });
});

describe('records', () => {
  it('tell what was emitted, as it went out', async () => {
    const { events, service } = await start({}, { appName: 'user-service' });
    const timestamp = new Date('2026-01-02T03:04:05Z');
    const data = { userId: 'user-1', timestamp };
    const receipt = await service.emit('user.created', data, {
      correlationId: 'c-1',
      headers: { tenant: 'acme' },
    });
    data.userId = 'changed afterwards';
    expect(events.emitted('user.created')).toEqual([
      {
        id: receipt.id,
        name: 'user.created',
        data: { userId: 'user-1', timestamp },
        source: 'user-service',
        time: events.now,
        correlationId: 'c-1',
        causationId: undefined,
        headers: { tenant: 'acme' },
        receipt: { duplicate: false, stream: 'events', sequence: 1 },
      },
    ]);
    expect(events.emitted('user.*')).toHaveLength(1);
    expect(events.emitted('order.placed')).toEqual([]);
    expect(events.emitted()).toHaveLength(1);
  });

  it('tell a duplicate by its receipt, and nothing of an emit that was refused', async () => {
    const { events, service } = await start({});
    await service.emit('a', {}, { id: 'same' });
    await service.emit('a', {}, { id: 'same' });
    await expect(service.emit('a', { big: 1n })).rejects.toMatchObject({ code: 'unserializable' });
    expect(events.emitted('a').map(({ receipt }) => receipt.duplicate)).toEqual([false, true]);
  });

  it('tell what caused an event', async () => {
    const { events, service } = await start({});
    await service.subscribe('first', () => service.emit('second', {}));
    const { id } = await service.emit('first', {});
    await events.settled();
    expect(events.emitted('second')).toMatchObject([{ causationId: id, correlationId: id }]);
  });

  it('tell what handlers received', async () => {
    const contract = defineEvent('user.created', {
      schema: z.object({ userId: z.string().transform((id) => ({ id })) }),
    });
    const { events, service } = await start({ providers: [Flaky] }, { events: [contract] });
    await service.emit('user.created', { userId: 'user-1' });
    await events.settled();
    expect(events.emitted('user.created')[0]?.data).toEqual({ userId: 'user-1' });
    expect(events.handled('user.created')).toMatchObject([
      { data: { userId: { id: 'user-1' } }, app: 'test', subscription: 'Flaky.handle', attempt: 1 },
    ]);
  });

  it('tell the error itself, whatever was thrown', async () => {
    const { events, service } = await start({});
    const thrown = { not: 'an error' };
    await service.subscribe('a', () => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error
      throw thrown;
    });
    await service.emit('a', {});
    await events.settled();
    expect(events.failed('a')[0]?.error).toBe(thrown);
  });

  it('are forgotten by clear, and what waits is not', async () => {
    const { app, events, service } = await start({ providers: [Flaky] });
    app.get(Flaky).failures = 1;
    await service.emit('user.created', {});
    await events.settled();
    events.clear();
    expect([events.emitted(), events.failed()]).toEqual([[], []]);
    await events.advance(1000);
    expect(events.handled()).toMatchObject([{ attempt: 2 }]);
  });

  it('refuse a name that no event can have', async () => {
    const { events } = await start({});
    expect(() => events.emitted('user created')).toThrow(/invalid event name or pattern/);
  });
});
