import assert from 'node:assert/strict';
import { EventsError, RetryAfterError } from '../../core/errors';
import type { Chapter } from './chapter';
import type { Received } from './harness';
import { dataOf, range, sortedDataOf } from './numbers';

/** Milliseconds by which a timer may be early. */
const TOLERANCE = 10;

const attemptsOf = (received: readonly Received[]): number[] =>
  received.map(({ context }) => context.attempt);

/** What follows when a handler fails. */
export const retries: Chapter = (test) => {
  test('an event is delivered again until its handler succeeds, and attempts are counted from 1', async (harness) => {
    const service = await harness.service('billing');
    const received = await service.collect('invoice.issued', { concurrency: 1 }, (data, { attempt }) => {
      if (data === 'flaky' && attempt < 3) throw new Error(`attempt ${attempt} fails`);
    });

    const { id } = await service.emit('invoice.issued', 'flaky');
    await received.atLeast(3);
    await service.emit('invoice.issued', 'last');

    assert.deepEqual(dataOf(await received.atLeast(4)), ['flaky', 'flaky', 'flaky', 'last']);
    assert.deepEqual(attemptsOf(received.items), [1, 2, 3, 1]);
    assert.deepEqual(
      received.items.slice(0, 3).map(({ context }) => context.id),
      [id, id, id],
    );
  });

  test("the next attempt waits for the policy's delay", async (harness) => {
    const service = await harness.service('billing');
    const { delays, fail } = delayMeter(() => new Error('not yet'));
    const received = await service.collect(
      'invoice.issued',
      { retry: { delay: 60, backoff: 'exponential' } },
      fail,
    );

    await service.emit('invoice.issued', null);
    await received.atLeast(3);

    assert.ok((delays[0] ?? 0) >= 60 - TOLERANCE, `the first delay was ${delays[0]} ms instead of 60`);
    assert.ok((delays[1] ?? 0) >= 120 - TOLERANCE, `the second delay was ${delays[1]} ms instead of 120`);
  });

  test('the next attempt waits as long as a RetryAfterError says', async (harness) => {
    const service = await harness.service('billing');
    const { delays, fail } = delayMeter(() => new RetryAfterError(200));
    const received = await service.collect('invoice.issued', { retry: { delay: 20 } }, fail);

    await service.emit('invoice.issued', null);
    await received.atLeast(3);

    for (const delay of delays)
      assert.ok(delay >= 200 - TOLERANCE, `the delay was ${delay} ms instead of 200`);
  });

  test('a failing event does not hold up those after it', async (harness) => {
    const service = await harness.service('billing');
    const received = await service.collect(
      'invoice.issued',
      { concurrency: 1, retry: { delay: 200 } },
      (data, { attempt }) => {
        if (data === 0 && attempt === 1) throw new Error('the first one fails');
      },
    );

    await service.emitInOrder('invoice.issued', range(4));

    assert.deepEqual(dataOf(await received.atLeast(5)), [0, 1, 2, 3, 0]);
  });

  test('an event that was handled is not delivered again', async (harness) => {
    const service = await harness.service('billing');
    const received = await service.collect('invoice.issued');

    await service.emitInOrder('invoice.issued', range(20));
    await received.atLeast(20);
    await service.emitInOrder('invoice.issued', range(20, 20));

    assert.deepEqual(sortedDataOf(await received.atLeast(40)), range(40));
    assert.deepEqual(new Set(attemptsOf(received.items)), new Set([1]));
  });

  test('a failing handler neither blocks another handler nor repeats it', async (harness) => {
    const service = await harness.service('billing');
    const retry = { attempts: 2, delay: 30 };
    const failing = await service.collect('invoice.issued', { name: 'Books.enter', retry }, () => {
      throw new Error('always');
    });
    const healthy = await service.collect('invoice.issued', { name: 'Mail.send', retry });
    const elsewhere = await (await harness.service('archive')).collect('invoice.issued', { retry });

    await service.emitInOrder('invoice.issued', range(10));
    await failing.atLeast(30);
    await service.emit('invoice.issued', 10);

    assert.deepEqual(sortedDataOf(await healthy.atLeast(11)), range(11));
    assert.deepEqual(sortedDataOf(await elsewhere.atLeast(11)), range(11));
  });

  test('an event whose attempts are exhausted is not tried again', async (harness) => {
    const service = await harness.service('billing');
    const received = await service.collect(
      'invoice.issued',
      { concurrency: 1, retry: { attempts: 1, delay: 20 } },
      (data) => {
        if (data === 'poison') throw new Error('always');
      },
    );

    await service.emit('invoice.issued', 'poison');
    await received.atLeast(2);
    await service.emitInOrder('invoice.issued', ['healthy', 'last']);

    assert.deepEqual(dataOf(await received.atLeast(4)), ['poison', 'poison', 'healthy', 'last']);
  });

  test('a broadcast that fails is tried again on the instance where it failed, and only there', async (harness) => {
    const failing = await harness.service('cache');
    const healthy = await harness.service('cache');
    const onFailing = await failing.collect('price.changed', { broadcast: true }, (_, { attempt }) => {
      if (attempt < 3) throw new Error('cache is cold');
    });
    const onHealthy = await healthy.collect('price.changed', { broadcast: true, concurrency: 1 });

    await failing.emit('price.changed', 'first');
    assert.deepEqual(attemptsOf(await onFailing.atLeast(3)), [1, 2, 3]);
    await failing.emit('price.changed', 'last');

    assert.deepEqual(dataOf(await onHealthy.atLeast(2)), ['first', 'last']);
    assert.deepEqual(attemptsOf(onHealthy.items), [1, 1]);
  });

  test('a handler that runs out of time is told by its signal, loses its slot and has failed', async (harness) => {
    const service = await harness.service('billing');
    const gate = harness.gate();
    const received = await service.collect(
      'invoice.issued',
      { concurrency: 1, timeout: 50 },
      async (_, { attempt }) => {
        if (attempt === 1) await gate.opened;
      },
    );

    await service.emit('invoice.issued', null);
    await received.atLeast(2);

    assert.deepEqual(attemptsOf(received.items), [1, 2]);
    const signals = received.items.map(({ context }) => context.signal);
    assert.deepEqual(
      signals.map(({ aborted }) => aborted),
      [true, false],
    );
    const reason: unknown = signals[0]?.reason;
    assert.ok(reason instanceof EventsError && reason.code === 'handler_timeout', String(reason));

    gate.open();
    await service.emit('invoice.issued', 'last');
    assert.deepEqual(attemptsOf(await received.atLeast(3)), [1, 2, 1]);
  });
};

/** Measures from each failure to the attempt that follows; fails twice. */
function delayMeter(error: () => Error): {
  delays: number[];
  fail: (data: unknown, context: { attempt: number }) => void;
} {
  const delays: number[] = [];
  let failedAt: number | undefined;
  return {
    delays,
    fail: (_, { attempt }) => {
      if (failedAt !== undefined) delays.push(performance.now() - failedAt);
      if (attempt > 2) return;
      failedAt = performance.now();
      throw error();
    },
  };
}
