import assert from 'node:assert/strict';
import type { Chapter } from './chapter';
import { Collector } from './collector';
import type { Received } from './harness';
import { dataOf, range, sortedDataOf } from './numbers';

/** Who receives an event, and how often. */
export const delivery: Chapter = (test, { durable }) => {
  test('every service gets every event once', async (harness) => {
    const shop = await harness.service('shop');
    const mail = await (await harness.service('mail')).collect('order.placed');
    const stock = await (await harness.service('stock')).collect('order.placed');
    const own = await shop.collect('order.placed');

    await shop.emitInOrder('order.placed', range(20));

    for (const received of [mail, stock, own]) {
      assert.deepEqual(sortedDataOf(await received.atLeast(20)), range(20));
    }
  });

  test('every handler of a service gets every event once', async (harness) => {
    const shop = await harness.service('shop');
    const mail = await shop.collect('order.placed', { name: 'Mail.send' });
    const stock = await shop.collect('order.placed', { name: 'Stock.reserve' });

    await shop.emitInOrder('order.placed', range(20));

    for (const received of [mail, stock]) {
      assert.deepEqual(sortedDataOf(await received.atLeast(20)), range(20));
    }
  });

  test('with concurrent emitters and competing instances each event is handled once', async (harness) => {
    const emitters = await Promise.all(range(3).map((i) => harness.service(`emitter-${i}`)));
    const instances = await Promise.all(range(3).map(() => harness.service('worker')));
    const handled = new Collector<Received>('jobs handled by all instances');
    for (const instance of instances) {
      await instance.on('job.created', (data, context) => handled.add({ data, context }), {
        concurrency: 10,
      });
    }

    await Promise.all(
      emitters.flatMap((emitter, e) => range(100, e * 100).map((job) => emitter.emit('job.created', job))),
    );
    await handled.atLeast(300);
    await emitters[0]?.emitInOrder('job.created', range(10, 300));

    assert.deepEqual(sortedDataOf(await handled.atLeast(310)), range(310));
  });

  test('a broadcast reaches every instance of a service', async (harness) => {
    const instances = await Promise.all(range(3).map(() => harness.service('cache')));
    const caches = await Promise.all(
      instances.map((instance) => instance.collect('price.changed', { broadcast: true })),
    );

    await instances[0]?.emitInOrder('price.changed', range(20));

    for (const received of caches) assert.deepEqual(sortedDataOf(await received.atLeast(20)), range(20));
  });

  test('events emitted one after the other keep their order where one is handled at a time', async (harness) => {
    const emitter = await harness.service('emitter');
    const received = await (await harness.service('ledger')).collect('entry.booked', { concurrency: 1 });

    await emitter.emitInOrder('entry.booked', range(100));

    assert.deepEqual(dataOf(await received.atLeast(100)), range(100));
  });

  test('after a burst of 2,000 events each has been handled once', async (harness) => {
    const emitter = await harness.service('emitter');
    const received = await (await harness.service('meter')).collect('reading.taken');

    // Where nothing stores events, a listener's buffer may be smaller than the burst.
    const atOnce = durable ? 2000 : 200;
    for (let sent = 0; sent < 2000; sent += atOnce) {
      await Promise.all(range(atOnce, sent).map((reading) => emitter.emit('reading.taken', reading)));
    }
    await received.atLeast(2000);
    await emitter.emit('reading.taken', 2000);

    await received.until((items) => items.some(({ data }) => data === 2000), 'the event after the burst');
    assert.deepEqual(sortedDataOf(received.items), range(2001));
  });
};
