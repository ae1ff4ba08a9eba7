import type { EventContext } from '../../lib/core/event-context';
import type { EventService } from '../../lib/core/event-service';
import type { RetryPolicy } from '../../lib/core/retry-policy';
import { eventually } from '../support/fault-ledger';
import { scenario, FaultScene } from '../support/fault-scene';
import { NatsServer } from '../support/nats-server';

const DURABLE = 'shop__h';

let server: NatsServer;
beforeAll(async () => {
  server = await NatsServer.start();
});
afterAll(() => server.stop());

const on = (title: string, run: (scene: FaultScene) => Promise<void>): void =>
  scenario(title, run, () => Promise.resolve(new FaultScene(server.url)));

/** The attempts of the handler `h` at each event, in all instances of a test. */
class Attempts {
  readonly #times = new Map<string, number[]>();

  /** @returns which attempt it is, by the handler's own count */
  add({ id }: EventContext): number {
    const times = this.#times.get(id) ?? [];
    times.push(Date.now());
    this.#times.set(id, times);
    return times.length;
  }

  counts(): number[] {
    return [...this.#times.values()].map(({ length }) => length);
  }

  times(id: string): number[] {
    return this.#times.get(id) ?? [];
  }
}

interface Instance {
  readonly retry: Partial<RetryPolicy>;
  readonly names?: readonly string[];
  readonly handler: (context: EventContext) => unknown;
}

async function start(
  scene: FaultScene,
  { retry, names = ['job'], handler }: Instance,
): Promise<EventService> {
  const service = await scene.service('shop', { shutdownTimeout: 100 });
  await service.bind({
    name: 'h',
    patterns: names,
    handler: (_data, context) => handler(context),
    options: { retry: { jitter: 0, ...retry } },
  });
  return service;
}

const idle = (): void => undefined;
const fail = (): never => {
  throw new Error('a failure that passes');
};

/** Takes what waits and hands it back, as any version of this package, or any client, may have done. */
async function handBack(scene: FaultScene, events: number, times: number): Promise<void> {
  const raw = await scene.raw();
  const consumer = await raw.jetstream().consumers.get(scene.clusterId, DURABLE);
  for (let taken = 0; taken < events * times;) {
    for await (const message of await consumer.fetch({ max_messages: events, expires: 5000 })) {
      taken++;
      message.nak();
    }
  }
  await raw.flush();
}

const emitted = async (scene: FaultScene, count: number, name = 'job'): Promise<string[]> => {
  const emitter = await scene.service('emitter', { consume: false });
  const receipts = await emitter.emitMany(Array.from({ length: count }, (_, n) => ({ name, data: { n } })));
  return receipts.map(({ id }) => id);
};

on('F46 an event that others handed back often has all of its attempts, and their delays', async (scene) => {
  const retry = { attempts: 3, delay: 100, backoff: 'exponential' as const, maxDelay: 60_000 };
  await (await start(scene, { retry, handler: idle })).drain();
  const ids = await emitted(scene, 5);
  await handBack(scene, 5, 14);
  const attempts = new Attempts();
  await start(scene, { retry, handler: (context) => attempts.add(context) < 3 && fail() });
  await scene.settled(DURABLE);
  expect(attempts.counts()).toEqual([3, 3, 3, 3, 3]);
  expect(await scene.deadLetters()).toEqual([]);
  for (const id of ids) {
    const [first = 0, second = 0, third = 0] = attempts.times(id);
    expect(second - first).toBeGreaterThanOrEqual(95);
    expect(third - second).toBeGreaterThanOrEqual(195);
    expect(third - first).toBeLessThan(5000);
  }
});

on(
  'F46 failures count together in all instances: an event is given up after exactly its attempts',
  async (scene) => {
    const retry = { attempts: 5, delay: 10, backoff: 'fixed' as const };
    const attempts = new Attempts();
    const handler = (context: EventContext): never => {
      attempts.add(context);
      return fail();
    };
    for (let i = 0; i < 4; i++) await start(scene, { retry, handler });
    await emitted(scene, 50);
    await eventually('all are dead letters', async () => (await scene.deadLetters()).length === 50);
    await scene.settled(DURABLE);
    expect(attempts.counts()).toEqual(Array.from({ length: 50 }, () => 6));
  },
);

on('F46 failures of instances that were stopped still count', async (scene) => {
  const retry = { attempts: 3, delay: 200, backoff: 'fixed' as const };
  const attempts = new Attempts();
  const handler = (context: EventContext): never => {
    attempts.add(context);
    return fail();
  };
  for (let i = 1; i <= 4; i++) {
    const instance = await start(scene, { retry, handler });
    if (i === 1) await emitted(scene, 1);
    await eventually(`attempt ${i} was made`, () => Promise.resolve(attempts.counts()[0] === i));
    if (i < 4) await instance.drain();
  }
  await eventually('it is a dead letter', async () => (await scene.deadLetters()).length === 1);
  await scene.settled(DURABLE);
  expect(attempts.counts()).toEqual([4]);
});

on('F46 a backlog outlives rolling restarts, then a failure that passes', async (scene) => {
  const retry = { attempts: 3, delay: 50, backoff: 'fixed' as const };
  const attempts = new Attempts();
  const stuck = (): Promise<void> => new Promise(() => undefined);
  let instance = await start(scene, { retry, handler: stuck });
  await emitted(scene, 120);
  for (let i = 0; i < 5; i++) {
    await eventually('events are in hands', async () => (await scene.consumer(DURABLE)).num_ack_pending > 0);
    await instance.drain();
    instance = await start(scene, { retry, handler: stuck });
  }
  await instance.drain();
  await start(scene, { retry, handler: (context) => attempts.add(context) === 1 && fail() });
  await scene.settled(DURABLE);
  expect(attempts.counts()).toEqual(Array.from({ length: 120 }, () => 2));
  expect(await scene.deadLetters()).toEqual([]);
});

on('F46 events are tried again while their records cannot be written', async (scene) => {
  const retry = { attempts: 3, delay: 50, backoff: 'fixed' as const };
  const attempts = new Attempts();
  await start(scene, { retry, handler: (context) => attempts.add(context) < 3 && fail() });
  const { streams } = await scene.jsm();
  await streams.update(`${scene.clusterId}-retry`, { max_msgs: 1 });
  await emitted(scene, 20);
  await scene.settled(DURABLE);
  expect(attempts.counts()).toEqual(Array.from({ length: 20 }, () => 3));
});

on(
  'F75 F80 an instance that alone has a name gets its events within seconds, and their attempts',
  async (scene) => {
    const retry = { attempts: 2, delay: 20, backoff: 'fixed' as const };
    const attempts = new Attempts();
    const handled: number[] = [];
    await start(scene, { retry, names: ['job'], handler: idle });
    await start(scene, {
      retry,
      names: ['job', 'new.job'],
      handler: (context) => {
        if (context.name === 'job') return;
        if (attempts.add(context) === 1) fail();
        handled.push(Date.now());
      },
    });
    const emitter = await scene.service('emitter', { consume: false });
    const began = Date.now();
    await emitter.emitMany(
      Array.from({ length: 20 }, (_, n) => ({ name: n % 2 === 0 ? 'new.job' : 'job', data: { n } })),
    );
    await scene.settled(DURABLE);
    expect(attempts.counts()).toEqual(Array.from({ length: 10 }, () => 2));
    expect(Math.max(...handled) - began).toBeLessThan(20_000);
    expect(await scene.deadLetters()).toEqual([]);
  },
);
