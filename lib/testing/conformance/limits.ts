import assert from 'node:assert/strict';
import { NonRetryableError } from '../../core/errors';
import { ACK, type Settlement } from '../../core/settlement';
import type { SubscriptionSpec, TransportSubscription } from '../../core/transport';
import type { Chapter } from './chapter';
import { Collector, sleep } from './collector';
import type { ServiceInstance } from './harness';
import { range, sortedDataOf } from './numbers';
import { roundTrip } from './round-trip';

/** Milliseconds. */
const PAUSE = 100;
const BREAKER = { threshold: 3, window: 60_000, pause: PAUSE } as const;

/** How a subscription is held down, and how a circuit breaker does it. */
export const limits: Chapter = (test, { durable, deadLetters }) => {
  test('a subscription delivers as much at once as it is allowed at the moment, and nothing while that is 0', async (harness) => {
    const service = await harness.service('worker');
    const held = await Held.on(service, { concurrency: 5, delivery: durable ? 'durable' : 'ephemeral' });
    held.subscription.limit(0);
    held.subscription.start();
    const witness = await service.collect('job.created', { name: 'witness' });

    await service.emitInOrder('job.created', range(20));
    await witness.atLeast(20);
    assert.equal(held.begun.items.length, 0);

    held.subscription.limit(2);
    await held.begun.atLeast(2);
    await roundTrip(service);
    assert.equal(held.running, 2);

    held.subscription.limit(Infinity);
    await held.begun.atLeast(5);
    await roundTrip(service);
    assert.equal(held.running, 5);

    // What runs is not interrupted; what follows keeps to the limit.
    held.subscription.limit(1);
    held.finish(4);
    await roundTrip(service);
    assert.equal(held.running, 1);
    assert.equal(held.begun.items.length, 5);
    held.subscription.limit(0);
    held.finish(1);
    await roundTrip(service);
    assert.equal(held.begun.items.length, 5);

    held.subscription.limit(100);
    held.finishAll();
    await held.begun.atLeast(20);
    assert.deepEqual(
      [...held.begun.items].sort((a, b) => a - b),
      range(20),
    );
    assert.equal(held.most, 5);
  });

  if (durable) {
    test('what a paused subscription holds back goes to others when it stops', async (harness) => {
      const paused = await harness.service('worker');
      const held = await Held.on(paused, { concurrency: 5, delivery: 'durable' });
      held.subscription.start();
      await paused.emitInOrder('job.created', range(5));
      await held.begun.atLeast(5);
      held.subscription.limit(0);
      await paused.emitInOrder('job.created', range(15, 5));
      held.finishAll();
      await roundTrip(paused);
      assert.equal(held.begun.items.length, 5);

      await held.subscription.stop(10_000);
      const other = await Held.on(await harness.service('worker'), { concurrency: 5, delivery: 'durable' });
      other.finishAll();
      other.subscription.start();

      await other.begun.atLeast(15);
      assert.deepEqual(
        [...other.begun.items].sort((a, b) => a - b),
        range(15, 5),
      );
    });
  }

  test('a circuit breaker pauses a handler whose every event fails, probes it, and nothing is lost', async (harness) => {
    const service = await harness.service('worker');
    let outage = true;
    let firstFailedAt = NaN;
    const attempts = new Collector<unknown>('attempts while nothing works');
    const handled = await service.collect(
      'job.created',
      { concurrency: 5, retry: { attempts: 2, delay: 20 }, circuitBreaker: BREAKER },
      (data) => {
        if (!outage) return;
        firstFailedAt ||= performance.now();
        attempts.add(data);
        throw new Error('the database is down');
      },
    );

    await Promise.all(range(20).map((job) => service.emit('job.created', job)));
    // More than run until the circuit opens: the rest are probes.
    const before = BREAKER.threshold + 4;
    await attempts.atLeast(before + 4);
    const probes = Math.ceil((performance.now() - firstFailedAt) / (PAUSE - 10));
    assert.ok(
      attempts.items.length <= before + probes,
      `${attempts.items.length} attempts, although there was only time for ${probes} probes`,
    );

    outage = false;
    handled.items.length = 0;
    await handled.atLeast(20);
    assert.deepEqual(sortedDataOf(handled.items), range(20));
    if (deadLetters) assert.deepEqual(await harness.deadLetters(0), []);
    await service.emitInOrder('job.created', range(10, 20));
    assert.deepEqual(sortedDataOf(await handled.atLeast(30)), range(30));
  });

  test('an open circuit lets one event through to probe, however many wait', async (harness) => {
    const service = await harness.service('worker');
    const gate = harness.gate();
    const failed = new Collector<unknown>('events that failed');
    const probing = new Collector<unknown>('events that probe');
    const options = {
      name: 'bounded',
      concurrency: 5,
      retry: { attempts: 5, delay: 20 },
      circuitBreaker: { ...BREAKER, threshold: 1 },
    };
    await service.on(
      'job.created',
      async (data) => {
        if (failed.items.length === 0) {
          failed.add(data);
          throw new Error('the database is down');
        }
        probing.add(data);
        await gate.opened;
      },
      options,
    );

    await service.emit('job.created', 0);
    await failed.atLeast(1);
    await service.emitInOrder('job.created', range(10, 1));
    await probing.atLeast(1);
    await sleep(3 * PAUSE);
    assert.equal(probing.items.length, 1);
    gate.open();

    const jobs = (await probing.atLeast(11)) as number[];
    assert.deepEqual(
      [...jobs].sort((a, b) => a - b),
      range(11),
    );
  });

  test('a handler that succeeds in between keeps its circuit closed, and so do events that can never succeed', async (harness) => {
    const service = await harness.service('worker');
    const options = {
      concurrency: 1,
      retry: { attempts: 0 },
      // An open circuit would stay open.
      circuitBreaker: { ...BREAKER, pause: 3_600_000 },
    };
    const mixed = await service.collect('job.created', { ...options, name: 'mixed' }, (data) => {
      if ((data as number) % 3 < 2) throw new Error('no');
    });
    const hopeless = await service.collect('job.created', { ...options, name: 'hopeless' }, () => {
      throw new NonRetryableError('never');
    });

    await service.emitInOrder('job.created', range(15));

    for (const received of [mixed, hopeless])
      assert.deepEqual(sortedDataOf(await received.atLeast(15)), range(15));
    if (deadLetters) assert.equal((await harness.deadLetters(25)).length, 25);
  });
};

/** A subscription whose deliveries last until they are finished. */
class Held {
  readonly begun = new Collector<number>('deliveries that have begun');
  readonly #settle: ((settlement: Settlement) => void)[] = [];
  most = 0;
  subscription!: TransportSubscription;
  #holding = true;

  static async on(
    { app, transport }: ServiceInstance,
    { concurrency, delivery }: Pick<SubscriptionSpec, 'concurrency' | 'delivery'>,
  ): Promise<Held> {
    const held = new Held();
    const spec: SubscriptionSpec = {
      app,
      handler: 'held',
      durable: `${app}__held`,
      patterns: ['job.created'],
      broadcast: false,
      startFrom: 'new',
      maxDeliveries: 6,
      concurrency,
      delivery,
    };
    held.subscription = await transport.subscribe(spec, ({ body }) => {
      const settled = new Promise<Settlement>((resolve) => held.#settle.push(resolve));
      held.most = Math.max(held.most, held.running);
      if (!held.#holding) held.finish(1);
      held.begun.add(JSON.parse(Buffer.from(body).toString()) as number);
      return settled;
    });
    return held;
  }

  get running(): number {
    return this.#settle.length;
  }

  finish(count: number): void {
    for (const settle of this.#settle.splice(0, count)) settle(ACK);
  }

  /** Those that run, and all that follow. */
  finishAll(): void {
    this.#holding = false;
    this.finish(Infinity);
  }
}
