import type { EventContext } from '../../lib/core/event-map';
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
async function handBack(
  scene: FaultScene,
  events: number,
  times: number,
  [stream, durable] = [scene.clusterId, DURABLE],
): Promise<void> {
  const raw = await scene.raw();
  const consumer = await raw.jetstream().consumers.get(stream, durable);
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

on('F46 a redriven event that others handed back often has all of its attempts', async (scene) => {
  const first = await start(scene, { retry: { attempts: 0 }, handler: fail });
  await emitted(scene, 3);
  await eventually('all are dead letters', async () => (await scene.deadLetters()).length === 3);
  await first.drain();
  const operator = await scene.service('operator', { consume: false });
  expect((await operator.deadLetters.redrive({})).redriven).toHaveLength(3);
  await handBack(scene, 3, 14, [`${scene.clusterId}-retry`, 'shop']);

  const attempts = new Attempts();
  const retry = { attempts: 3, delay: 20, backoff: 'fixed' as const };
  const handler = (context: EventContext): never => {
    attempts.add(context);
    return fail();
  };
  for (let i = 0; i < 2; i++) await start(scene, { retry, handler });
  const reasons = async (): Promise<string[]> => (await scene.deadLetters()).map(({ reason }) => reason);
  await eventually('all are dead letters again', async () => (await reasons()).length === 3);
  expect(await reasons()).toEqual(Array.from({ length: 3 }, () => 'attempts_exhausted'));
  expect(attempts.counts()).toEqual([4, 4, 4]);
});

on('F44 F46 a dead letter that cannot be written leaves no trace of a process that ended', async (scene) => {
  const retry = { attempts: 1, delay: 20, backoff: 'fixed' as const };
  const attempts = new Attempts();
  await start(scene, {
    retry,
    handler: (context) => {
      attempts.add(context);
      return fail();
    },
  });
  const { streams } = await scene.jsm();
  const letters = `${scene.clusterId}-dlq`;
  (await scene.raw()).publish(`${letters}.filler`);
  await streams.update(letters, { max_msgs: 1 });
  await emitted(scene, 1);
  const record = { last_by_subj: `${scene.clusterId}-retry._attempts.>` };
  const last = async (): Promise<unknown> => {
    const message = await streams.getMessage(`${scene.clusterId}-retry`, record).catch(() => undefined);
    return message?.json<{ entries: unknown[][] }>().entries[0]?.slice(2);
  };
  await eventually('its failures are on record, and that it does not run', async () => {
    const [failures, running] = ((await last()) ?? []) as unknown[];
    return failures === 2 && running === 0;
  });
  await streams.purge(letters);
  const stored = await eventually('it is a dead letter', async () => {
    const [letter] = await scene.deadLetters();
    return letter?.reason;
  });
  expect(stored).toBe('attempts_exhausted');
  expect(attempts.counts()).toEqual([2]);
});

on('F46 records that others write faster than they can be read hold up no event', async (scene) => {
  await (await start(scene, { retry: {}, handler: idle })).drain();
  await emitted(scene, 1);
  await handBack(scene, 1, 1);
  const raw = await scene.raw();
  const subject = `${scene.clusterId}-retry._attempts.${DURABLE}.${scene.clusterId}.other`;
  const attempts = new Attempts();
  const write = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) raw.publish(subject, '{"entries":[[9999,"1",1,1]]}');
    await raw.flush();
  };
  await write(1000);
  await start(scene, { retry: {}, handler: (context) => attempts.add(context) });
  while (attempts.counts().length === 0) await write(200);
  await scene.settled(DURABLE);
  expect(attempts.counts()).toEqual([1]);
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
