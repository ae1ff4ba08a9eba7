import assert from 'node:assert/strict';
import { EventsError } from '../../core/errors';
import { ACK } from '../../core/settlement';
import type { Chapter } from './chapter';
import { Collector } from './collector';
import type { Received } from './harness';
import { hasCode } from './has-code';
import { dataOf, range, sortedDataOf } from './numbers';

/** How instances come and go. */
export const lifecycle: Chapter = (test, { durable }) => {
  test('instances that start at the same moment all work', async (harness) => {
    const apps = ['shop', 'shop', 'mail', 'mail', 'stock'];
    const instances = await Promise.all(apps.map((app) => harness.service(app)));
    const arrivals = await Promise.all(
      instances.map((instance, i) =>
        instance.collect('order.placed', { broadcast: true, name: `handler ${i}` }),
      ),
    );

    await Promise.all(instances.map((instance, i) => instance.emit('order.placed', i)));

    for (const received of arrivals) assert.deepEqual(sortedDataOf(await received.atLeast(5)), range(5));
  });

  test('instances may subscribe one handler at the same moment', async (harness) => {
    const instances = await Promise.all(range(4).map(() => harness.service('mail')));
    const handled = new Collector<Received>('orders handled by all instances');
    await Promise.all(
      instances.map((instance) =>
        instance.on('order.placed', (data, context) => handled.add({ data, context })),
      ),
    );

    await instances[0]?.emitInOrder('order.placed', range(20));

    assert.deepEqual(sortedDataOf(await handled.atLeast(20)), range(20));
  });

  test('nothing is delivered before the application has started, and nothing of it is missed', async (harness) => {
    const starting = await harness.boundService('starting');
    const received = await starting.collect('order.placed', { concurrency: 1 });
    const other = await (await harness.service('other')).collect('order.placed');

    await starting.emitInOrder('order.placed', range(3));
    await other.atLeast(3);
    assert.equal(received.items.length, 0);
    starting.events.start();
    await starting.emit('order.placed', 3);

    assert.deepEqual(dataOf(await received.atLeast(4)), range(4));
  });

  test('a transport is connected, without problems, until it is closed', async (harness) => {
    const service = await harness.service('shop');
    await service.collect('order.placed');
    assert.deepEqual(service.transport.status(), { connected: true, problems: [] });

    await service.events.drain();

    assert.equal(service.transport.status().connected, false);
  });

  test('after unsubscribe nothing is delivered to this handler, and others go on', async (harness) => {
    const service = await harness.service('shop');
    const leaving = new Collector<unknown>('events of the one that leaves');
    const subscription = await service.on('order.placed', (data) => leaving.add(data), { name: 'leaving' });
    const staying = await service.collect('order.placed', { name: 'staying' });
    await service.emit('order.placed', 0);
    await leaving.atLeast(1);

    await subscription.unsubscribe();
    await subscription.unsubscribe();
    await service.emitInOrder('order.placed', range(10, 1));

    assert.deepEqual(sortedDataOf(await staying.atLeast(11)), range(11));
    assert.deepEqual(leaving.items, [0]);

    if (!durable) return;
    const again = await service.collect('order.placed', { name: 'leaving' });
    assert.deepEqual(sortedDataOf(await again.atLeast(10)), range(10, 1));
  });

  test('draining waits for the handler that runs, which can still emit', async (harness) => {
    const busy = await harness.service('busy');
    const gate = harness.gate();
    const running = await busy.collect('order.placed', {}, async () => {
      await gate.opened;
      await busy.emit('order.packed', 'while draining');
    });
    const packed = await (
      await harness.service('other')
    ).collect(['order.packed', 'sentinel'], { concurrency: 1 });
    const other = await harness.service('emitter');
    await other.emit('order.placed', null);
    await running.atLeast(1);

    let drained = false;
    const draining = busy.events.drain().then(() => (drained = true));
    await other.emit('sentinel', 'before');
    await packed.atLeast(1);
    assert.equal(drained, false);
    gate.open();
    await draining;

    assert.deepEqual(dataOf(await packed.atLeast(2)), ['before', 'while draining']);
    assert.equal(running.items.length, 1);
  });

  test('a service that has stopped consuming takes nothing more, and emits until it is drained', async (harness) => {
    const leaving = await harness.service('leaving');
    const taken = await leaving.collect('order.placed', { name: 'taken' });
    const others = await (await harness.service('other')).collect('order.placed');
    await leaving.emit('order.placed', 0);
    await taken.atLeast(1);

    await leaving.events.stopConsuming();
    await leaving.emitInOrder('order.placed', range(3, 1));
    await others.atLeast(4);
    assert.equal(leaving.events.status.state, 'draining');
    assert.equal(leaving.events.status.connected, true);
    assert.equal(taken.items.length, 1);
    await leaving.events.drain();

    assert.equal(leaving.events.status.state, 'closed');
    await assert.rejects(leaving.emit('order.placed', 4), hasCode('closed'));
  });

  test('what is being emitted when a service drains is confirmed before it closes', async (harness) => {
    const leaving = await harness.service('leaving', {
      pendingEmits: { inFlight: 10, waiting: 1000, bytes: 1024 * 1024 },
    });
    const received = await (await harness.service('other')).collect('order.placed');
    const emitted = Promise.all(range(100).map((number) => leaving.emit('order.placed', number)));

    await leaving.events.drain();

    await emitted;
    assert.deepEqual(sortedDataOf(await received.atLeast(100)), range(100));
  });

  test('several services close at the same time, and each more than once', async (harness) => {
    const instances = await Promise.all(['shop', 'shop', 'mail', 'stock'].map((app) => harness.service(app)));
    for (const instance of instances) await instance.collect(['order.placed', 'user.*']);
    await instances[0]?.emitInOrder('order.placed', range(50));

    await Promise.all([...instances, ...instances].map(({ events }) => events.drain()));
    await Promise.all(instances.map(({ transport }) => transport.close()));
    for (const { transport } of instances) await transport.close();
  });

  test('a subscription stops more than once, started or not', async (harness) => {
    const { transport } = await harness.service('shop');
    const spec = {
      app: 'shop',
      patterns: ['order.placed'],
      delivery: durable ? 'durable' : 'ephemeral',
      broadcast: false,
      startFrom: 'new',
      concurrency: 1,
      maxDeliveries: 1,
    } as const;
    const started = await transport.subscribe(
      { ...spec, handler: 'started', durable: 'shop__started' },
      async () => ACK,
    );
    const idle = await transport.subscribe(
      { ...spec, handler: 'idle', durable: 'shop__idle' },
      async () => ACK,
    );
    started.start();

    for (const subscription of [started, idle]) {
      await Promise.all([subscription.stop(1000), subscription.stop(1000)]);
      await subscription.stop(0);
    }
  });

  test('a closed transport refuses to publish', async (harness) => {
    const service = await harness.service('shop');
    await service.events.drain();

    await assert.rejects(
      service.publishRaw('order.placed', {}, 'null'),
      (error) => error instanceof EventsError && error.code === 'closed',
    );
  });

  if (!durable) {
    test('draining handles what has been received, where nobody else can', async (harness) => {
      const emitter = await harness.service('emitter');
      const leaving = await harness.service('worker');
      const gate = harness.gate();
      const handled = await leaving.collect('job.created', { concurrency: 2 }, () => gate.opened);
      const witness = await emitter.collect('job.created');
      await emitter.emitInOrder('job.created', range(20));
      await Promise.all([witness.atLeast(20), handled.atLeast(2)]);

      const draining = leaving.events.drain();
      await emitter.emit('job.created', 20);
      await witness.atLeast(21);
      gate.open();
      await draining;

      // The server may have sent the last one before it heard of the end.
      const data = sortedDataOf(handled.items);
      assert.deepEqual(data, range(data.length));
      assert.ok(data.length >= 20, `${data.length} of 20 were handled`);
    });
    return;
  }

  test('what a draining instance has not begun is handled by another, even where it has room again', async (harness) => {
    const emitter = await harness.service('emitter');
    const leaving = await harness.service('worker');
    const gates = [harness.gate(), harness.gate()] as const;
    const begun = await leaving.collect(
      'job.created',
      { concurrency: 2 },
      () => gates[begun.items.length === 1 ? 0 : 1].opened,
    );
    await Promise.all(range(20).map((job) => emitter.emit('job.created', job)));
    await begun.atLeast(2);

    const draining = leaving.events.drain();
    gates[0].open();
    const successor = await harness.service('worker');
    const handled = await successor.collect('job.created', { concurrency: 1 });
    await handled.atLeast(18);
    gates[1].open();
    await draining;
    await emitter.emit('job.created', 20);

    await handled.atLeast(19);
    assert.deepEqual(sortedDataOf([...begun.items, ...handled.items]), range(21));
    assert.equal(begun.items.length, 2);
  });

  test('a handler that outlives the shutdown is given up: another instance handles its event, once', async (harness) => {
    const emitter = await harness.service('emitter');
    const leaving = await harness.service('worker', { shutdownTimeout: 100 });
    const gate = harness.gate();
    const begun = await leaving.collect('job.created', { retry: { delay: 0 } }, async () => {
      await gate.opened;
      throw new Error('too late to be heard');
    });
    await emitter.emit('job.created', 'long');
    await begun.atLeast(1);

    await leaving.events.drain();
    const successor = await harness.service('worker');
    const held = harness.gate();
    const handled = await successor.collect('job.created', { concurrency: 2 }, (data, { attempt }) => {
      if (data === 'long') return held.opened;
      if (attempt === 1) throw new Error('once more, so that some time passes');
    });
    await handled.atLeast(1);
    gate.open();
    await emitter.emit('job.created', 'last');
    await handled.atLeast(3);
    held.open();

    assert.deepEqual(dataOf(handled.items), ['long', 'last', 'last']);
    assert.equal(handled.items[0]?.context.attempt, 2);
  });

  test('emits under way when a service is drained are confirmed, those that wait for their turn too', async (harness) => {
    const pendingEmits = { inFlight: 50, waiting: 1000, bytes: 1_000_000 };
    const leaving = await harness.service('shop', { pendingEmits });
    const received = await (await harness.service('mail')).collect('order.placed');
    await leaving.emit('order.placed', 0);
    const emits = range(299, 1).map((order) => leaving.emit('order.placed', order));

    await leaving.events.drain();

    await Promise.all(emits);
    assert.deepEqual(sortedDataOf(await received.atLeast(300)), range(300));
  });

  test('a failure while draining is handed back, never a dead letter', async (harness) => {
    const emitter = await harness.service('emitter');
    const leaving = await harness.service('worker');
    const gate = harness.gate();
    const begun = await leaving.collect('job.created', { retry: { attempts: 0 } }, async () => {
      await gate.opened;
      throw new Error('the database is closed');
    });
    await emitter.emit('job.created', 'job');
    await begun.atLeast(1);

    const draining = leaving.events.drain();
    gate.open();
    await draining;
    const handled = await (
      await harness.service('worker')
    ).collect('job.created', { retry: { attempts: 0 } });

    assert.deepEqual(dataOf(await handled.atLeast(1)), ['job']);
    assert.equal((await harness.deadLetters(0)).length, 0);
  });

  test('a rolling restart under load loses nothing', async (harness) => {
    const emitter = await harness.service('emitter');
    const handled = new Collector<Received>('jobs handled by all instances');
    const boot = async (): Promise<{ events: { drain(): Promise<void> } }> => {
      const instance = await harness.service('worker');
      await instance.on(
        'job.created',
        async (data, context) => {
          await new Promise((resolve) => setImmediate(resolve));
          handled.add({ data, context });
        },
        { concurrency: 5 },
      );
      return instance;
    };
    let old = await boot();
    const emitted = (async () => {
      for (let job = 0; job < 600; job += 20)
        await Promise.all(range(20, job).map((i) => emitter.emit('job.created', i)));
    })();

    for (let restart = 1; restart <= 3; restart++) {
      await handled.atLeast(restart * 100);
      const next = await boot();
      await old.events.drain();
      old = next;
    }
    await emitted;

    const distinct = (items: readonly Received[]): Set<unknown> => new Set(dataOf(items));
    await handled.until((items) => distinct(items).size === 600, 'all 600 of them');
  });
};
