import { Injectable, type OnApplicationBootstrap, type OnModuleInit, type Provider } from '@nestjs/common';
import { EventService, OnEvent, type EventContext, type OnEventOptions } from '@venta/events';
import { DeliverPolicy, type ConsumerInfo } from 'nats';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';
import { onNats } from '../support/on-nats';

const nats = onNats();
const { start, compile } = applications(() => ({
  url: nats.server.url,
  clusterId: nats.clusterId,
  retry: { delay: 20, jitter: 0 },
}));

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('what happened')));

/** A version of `Jobs.run` that listens to these names or patterns. */
function jobs(
  patterns: string | string[],
  options: OnEventOptions = {},
  run: (event: unknown, context: EventContext) => unknown = () => undefined,
): Provider {
  @Injectable()
  class Jobs {
    @OnEvent(patterns, { concurrency: 1, ...options })
    async run(event: unknown, context: EventContext): Promise<void> {
      received.add(event);
      await run(event, context);
    }
  }
  return Jobs;
}

/** Another service that emits. */
const emitter = async (): Promise<EventService> =>
  (await start({}, { appName: 'emitter' })).get(EventService);

async function consumers(): Promise<ConsumerInfo[]> {
  const manager = await (await nats.client()).jetstreamManager();
  return manager.consumers.list(nats.clusterId).next();
}
const consumer = async (name: string): Promise<ConsumerInfo> => {
  const found = (await consumers()).find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no consumer '${name}'`);
  return found;
};

describe('what a service leaves at the server', () => {
  it('is one durable for the exact names of a handler and one for each wildcard, with constant settings', async () => {
    await start(
      {
        providers: [
          jobs(['job.a', 'job.b', 'task.*', 'vendor.>'], {
            concurrency: 7,
            timeout: 5000,
            retry: { attempts: 3, delay: 77 },
          }),
        ],
      },
      { appName: 'Job Service' },
    );
    const found = (await consumers()).sort((a, b) => (a.name < b.name ? -1 : 1));
    const settings = {
      ack_policy: 'explicit',
      ack_wait: 30_000_000_000,
      max_deliver: -1,
      max_ack_pending: 50_000,
      metadata: { 'events-app': 'Job Service', 'events-handler': 'Jobs.run' },
    };
    const subject = (name: string): string => `${nats.clusterId}.${name}`;
    expect(found.map(({ name }) => name)).toEqual([
      'Job-Service__Jobs-run',
      'Job-Service__Jobs-run__task-any',
      'Job-Service__Jobs-run__vendor-all',
    ]);
    expect(found[0]?.config).toMatchObject({
      ...settings,
      durable_name: 'Job-Service__Jobs-run',
      filter_subjects: [subject('job.a'), subject('job.b')],
    });
    expect(found[1]?.config).toMatchObject({ ...settings, filter_subject: subject('task.*') });
    expect(found[2]?.config).toMatchObject({ ...settings, filter_subject: subject('vendor.>') });
    for (const { config } of found) {
      expect(config.backoff).toBeUndefined();
      expect(config.inactive_threshold).toBeUndefined();
    }
  });

  it('are three streams with the settings of the package', async () => {
    await start({});
    const manager = await (await nats.client()).jetstreamManager();
    const days = 24 * 3_600 * 1_000_000_000;
    const settings = {
      retention: 'limits',
      discard: 'new',
      storage: 'file',
      num_replicas: 1,
      max_msgs: -1,
      max_bytes: -1,
      duplicate_window: 120 * 1_000_000_000,
    };
    const events = await manager.streams.info(nats.clusterId);
    expect(events.config).toMatchObject({
      ...settings,
      subjects: [`${nats.clusterId}.>`],
      max_age: 7 * days,
    });
    const deadLetters = await manager.streams.info(`${nats.clusterId}-dlq`);
    expect(deadLetters.config).toMatchObject({
      ...settings,
      subjects: [`${nats.clusterId}-dlq.>`, `${nats.clusterId}-dlq-run.>`],
      max_age: 30 * days,
    });
    const retries = await manager.streams.info(`${nats.clusterId}-retry`);
    expect(retries.config).toMatchObject({
      ...settings,
      retention: 'workqueue',
      subjects: [`${nats.clusterId}-retry.>`],
      max_age: 30 * days,
    });
  });

  it('is a consumer for each instance of a broadcast, which goes with the instance', async () => {
    const app = await start({ providers: [jobs('job.a', { broadcast: true })] });
    await start({ providers: [jobs('job.a', { broadcast: true })] });
    const found = await consumers();
    expect(found).toHaveLength(2);
    for (const { name, config } of found) {
      expect(name).toMatch(/^shop__Jobs-run__[A-Za-z0-9]+$/);
      expect(config).toMatchObject({
        ack_policy: 'explicit',
        inactive_threshold: 5 * 60 * 1_000_000_000,
        max_deliver: -1,
        filter_subject: `${nats.clusterId}.job.a`,
      });
      expect(config.durable_name).toBeUndefined();
    }
    await app.close();
    expect(await consumers()).toHaveLength(1);
  });

  it('is nothing with consume: false', async () => {
    await start({ providers: [jobs('job.a')] }, { consume: false });
    expect(await consumers()).toEqual([]);
  });
});

describe('an application that starts again', () => {
  it('continues where it stopped', async () => {
    const events = await emitter();
    const app = await start({ providers: [jobs('job.a')] });
    await events.emit('job.a', 1);
    await received.atLeast(1);
    await app.close();
    for (const data of [2, 3]) await events.emit('job.a', data);
    await start({ providers: [jobs('job.a')] });
    await events.emit('job.a', 4);
    expect(await received.atLeast(4)).toEqual([1, 2, 3, 4]);
    await nats.settled('shop__Jobs-run');
    expect(received.items).toHaveLength(4);
  });

  it('gets an event again that it was trying when it stopped', async () => {
    const events = await emitter();
    const app = await start({
      providers: [
        jobs('job.a', { retry: { delay: 20 } }, () => {
          throw new Error('the old version is broken');
        }),
      ],
    });
    await events.emit('job.a', 'healed');
    await received.atLeast(2);
    await app.close();
    const attempts: number[] = [];
    await start({ providers: [jobs('job.a', {}, (_, { attempt }) => attempts.push(attempt))] });
    await nats.settled('shop__Jobs-run');
    expect(attempts).toHaveLength(1);
    expect(attempts[0]).toBeGreaterThan(2);
    expect(await nats.deadLetters(0)).toEqual([]);
  });

  it('with another name keeps the position of a handler that has a `name` of its own', async () => {
    const events = await emitter();
    const app = await start({ providers: [jobs('job.a', { name: 'nightly' })] });
    await events.emit('job.a', 1);
    await received.atLeast(1);
    await app.close();
    await events.emit('job.a', 2);
    @Injectable()
    class Renamed {
      @OnEvent('job.a', { name: 'nightly' })
      elsewhere(event: unknown): void {
        received.add(event);
      }
    }
    await start({ providers: [Renamed] });
    expect(await received.atLeast(2)).toEqual([1, 2]);
    expect((await consumers()).map(({ name }) => name)).toEqual(['shop__nightly']);
  });

  it('with one more event name keeps its position, and gets that name from here on', async () => {
    const events = await emitter();
    const app = await start({ providers: [jobs('job.a')] });
    await events.emit('job.a', 'a1');
    await events.emit('job.b', 'b1');
    await received.atLeast(1);
    await app.close();
    await events.emit('job.a', 'a2');

    await start({ providers: [jobs(['job.a', 'job.b'])] });
    await events.emit('job.b', 'b2');
    await events.emit('job.a', 'a3');
    await received.until((items) => items.includes('a3'), 'a3');
    await nats.settled('shop__Jobs-run');
    expect(received.items.filter((each) => String(each).startsWith('a'))).toEqual(['a1', 'a2', 'a3']);
    expect(received.items).toContain('b2');
    expect((await consumer('shop__Jobs-run')).config.filter_subjects).toEqual([
      `${nats.clusterId}.job.a`,
      `${nats.clusterId}.job.b`,
    ]);
  });

  it('with one event name less never runs for it again: such an event waits for a version that does', async () => {
    const events = await emitter();
    const app = await start({ providers: [jobs(['job.a', 'job.b'])] });
    await events.emit('job.b', 'b1');
    await received.atLeast(1);
    await app.close();
    const less = await start({ providers: [jobs('job.a')] });
    await events.emit('job.b', 'b2');
    await events.emit('job.a', 'a1');
    await received.atLeast(2);
    expect(received.items).toEqual(['b1', 'a1']);
    await less.close();
    await start({ providers: [jobs(['job.a', 'job.b'])] });
    expect(await received.atLeast(3)).toEqual(['b1', 'a1', 'b2']);
  });

  it('with other options of a handler meets no conflict, also beside the version before', async () => {
    const events = await emitter();
    await start({ providers: [jobs('job.a', { timeout: 1000, retry: { attempts: 1 }, startFrom: 'new' })] });
    await start(
      {
        providers: [
          jobs('job.a', { timeout: 2000, concurrency: 50, retry: { attempts: 9 }, startFrom: 'first' }),
        ],
      },
      { retry: { attempts: 3 }, handlerTimeout: 5, concurrency: 3 },
    );
    await events.emit('job.a', 1);
    expect(await received.atLeast(1)).toEqual([1]);
  });
});

describe('a durable that is created', () => {
  it("with 'new' begins when this service connected: what it emits while starting is not missed", async () => {
    @Injectable()
    class Early implements OnModuleInit, OnApplicationBootstrap {
      constructor(private readonly events: EventService) {}
      async onModuleInit(): Promise<void> {
        await this.events.emit('job.a', 'onModuleInit');
      }
      async onApplicationBootstrap(): Promise<void> {
        await this.events.emit('job.a', 'onApplicationBootstrap');
      }
    }
    const events = await emitter();
    await events.emit('job.a', 'before');
    await start({ providers: [Early, jobs('job.a')] });
    await events.emit('job.a', 'after');
    expect(await received.atLeast(3)).toEqual(['onModuleInit', 'onApplicationBootstrap', 'after']);
    expect((await consumer('shop__Jobs-run')).config).toMatchObject({
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: 2,
    });
  });

  it("with 'first' begins with the oldest event", async () => {
    const events = await emitter();
    for (const data of [1, 2]) await events.emit('job.a', data);
    await start({ providers: [jobs('job.a', { startFrom: 'first' })] });
    await events.emit('job.a', 3);
    expect(await received.atLeast(3)).toEqual([1, 2, 3]);
  });

  it('with a Date begins with the first event stored then or later', async () => {
    const events = await emitter();
    await events.emit('job.a', 1);
    const [first] = await nats.stored();
    const then = Math.floor(Number((first?.storedAt ?? 0n) / 1_000_000n)) + 1;
    while (Date.now() <= then) await new Promise(setImmediate);
    await events.emit('job.a', 2);
    await start({ providers: [jobs('job.a', { startFrom: new Date(then) })] });
    await events.emit('job.a', 3);
    expect(await received.atLeast(2)).toEqual([2, 3]);
  });

  it('is not moved by another start position later', async () => {
    const events = await emitter();
    await events.emit('job.a', 1);
    const app = await start({ providers: [jobs('job.a')] });
    await app.close();
    await start({ providers: [jobs('job.a', { startFrom: 'first' })] });
    await events.emit('job.a', 2);
    expect(await received.atLeast(1)).toEqual([2]);
  });
});

describe('a handler whose durable is somebody else’s', () => {
  it.each([
    ['of another handler of the service', 'shop', 'Jobs run', 'shop', 'Jobs.run'],
    ['of a handler of another service', 'shop!', 'Jobs.run', 'shop?', 'Jobs.run'],
  ])('fails start-up: it is %s', async (_title, firstApp, first, secondApp, second) => {
    await start({ providers: [jobs('job.a', { name: first })] }, { appName: firstApp });
    const app = await compile({ providers: [jobs('job.a', { name: second })] }, { appName: secondApp });
    const error: unknown = await app.init().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'duplicate_handler' });
    for (const part of [firstApp, first, secondApp, second]) {
      expect((error as Error).message).toContain(`'${part}'`);
    }
  });
});
