import { Test, type TestingModule } from '@nestjs/testing';
import { EventService, type EventContext } from '@venta/events';
import { EventsTestingModule, TestEvents, type EventsTestingOptions } from '@venta/events/testing';
import { silentLogger } from '../support/silent-logger';

const open: TestingModule[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((app) => app.close()));
});

async function start(options: EventsTestingOptions): Promise<{ service: EventService; events: TestEvents }> {
  const app = await Test.createTestingModule({ imports: [EventsTestingModule.register(options)] })
    .setLogger(silentLogger)
    .compile();
  await app.init();
  open.push(app);
  return { service: app.get(EventService), events: app.get(TestEvents) };
}

describe('duplicate: true', () => {
  it('delivers every event to every handler twice, as one more attempt', async () => {
    const { service, events } = await start({ test: { duplicate: true } });
    const seen: string[] = [];
    for (const name of ['a', 'b']) {
      await service.subscribe(
        'order.placed',
        (order: string, { attempt }: EventContext) => void seen.push(`${name} ${order} ${attempt}`),
        {
          name,
        },
      );
    }
    await service.emit('order.placed', 'one');
    await service.emit('order.placed', 'two');
    await events.settled();
    expect(seen.sort()).toEqual([
      'a one 1',
      'a one 2',
      'a two 1',
      'a two 2',
      'b one 1',
      'b one 2',
      'b two 1',
      'b two 2',
    ]);
    expect(events.emitted('order.placed')).toHaveLength(2);
  });

  it('gives the second delivery data of its own', async () => {
    const { service, events } = await start({ test: { duplicate: true } });
    await service.subscribe('a', (data: { list: number[] }) => void data.list.push(1));
    await service.emit('a', { list: [] });
    await events.settled();
    expect(events.handled('a').map(({ data }) => data as unknown)).toEqual([{ list: [1] }, { list: [1] }]);
  });

  it('repeats the first success only, however often the event failed', async () => {
    const { service, events } = await start({ test: { duplicate: true } });
    const fails = new Set([1, 3]);
    const attempts: number[] = [];
    await service.subscribe('a', (_data, { attempt }) => {
      attempts.push(attempt);
      if (fails.has(attempt)) throw new Error(`attempt ${attempt}`);
    });
    await service.emit('a', {});
    await events.advance(60_000);
    // 3 is the repetition of 2.
    expect(attempts).toEqual([1, 2, 3, 4]);
    expect(events.handled('a').map(({ attempt }) => attempt)).toEqual([2, 4]);
  });

  it('repeats for each instance of a broadcast', async () => {
    const events = new TestEvents({ duplicate: true });
    const one = await start({ test: events });
    const other = await start({ test: events });
    let count = 0;
    for (const { service } of [one, other])
      await service.subscribe('a', () => void count++, { broadcast: true });
    await one.service.emit('a', {});
    await events.settled();
    expect(count).toBe(4);
  });
});

describe('fail', () => {
  const outcome = async (options: EventsTestingOptions): Promise<string[]> => {
    const { service, events } = await start(options);
    for (const name of ['a', 'b']) {
      // They end in an order of their own.
      await service.subscribe(
        '>',
        async () => {
          for (let i = Math.random() * 10; i > 0; i--) await new Promise((resolve) => setImmediate(resolve));
        },
        { name },
      );
    }
    for (let i = 0; i < 100; i++) await service.emit(i % 2 === 0 ? 'even' : 'odd', i);
    await events.advance(3_600_000);
    expect(events.handled()).toHaveLength(200);
    return events
      .failed()
      .map(({ subscription, data, attempt }) => `${subscription} ${String(data)} ${attempt}`)
      .sort();
  };

  it('fails the same attempts with the same seed, and about the share that it is told', async () => {
    const fail = { probability: 0.3, seed: 42 };
    const first = await outcome({ test: { fail } });
    expect(await outcome({ test: { fail } })).toEqual(first);
    // Of 200 first attempts and their retries, 86 on average.
    expect(first.length).toBeGreaterThan(50);
    expect(first.length).toBeLessThan(130);
    expect(await outcome({ test: { fail: { ...fail, seed: 43 } } })).not.toEqual(first);
  });

  it('fails the handlers and events that it names, and no others', async () => {
    const { service, events } = await start({
      retry: { attempts: 1 },
      test: { fail: { probability: 1, events: ['user.*'], handlers: ['meant'] } },
    });
    let called = 0;
    await service.subscribe('>', () => void called++, { name: 'meant' });
    await service.subscribe('user.created', () => undefined, { name: 'spared' });
    await service.emit('user.created', {});
    await service.emit('order.placed', {});
    await events.advance(10_000);
    expect(called).toBe(1);
    expect(events.failed().map(({ name, subscription }) => `${name} ${subscription}`)).toEqual([
      'user.created meant',
      'user.created meant',
    ]);
    expect(events.deadLettered('user.created')).toMatchObject([
      { reason: 'attempts_exhausted', message: expect.stringMatching(/fails on purpose.*seed 1/) as string },
    ]);
  });

  it('does not let a mistyped handler pass', async () => {
    const { service, events } = await start({ test: { fail: { probability: 1, handlers: ['Mail.sned'] } } });
    await service.subscribe('a', () => undefined, { name: 'Mail.send' });
    await expect(events.settled()).rejects.toThrow(/'Mail\.sned'.*Mail\.send/);
  });
});
