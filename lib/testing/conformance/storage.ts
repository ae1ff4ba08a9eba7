import assert from 'node:assert/strict';
import { EventsError } from '../../core/errors';
import { durableName } from '../../core/names';
import type { Chapter } from './chapter';
import { sleep } from './collector';
import { dataOf, range, sortedDataOf } from './numbers';

/** What only a broker that stores events can do. */
export const storage: Chapter = (test, { durable }) => {
  if (!durable) return;

  test("an event published before there was a subscriber reaches one that starts from the 'first'", async (harness) => {
    const shop = await harness.service('shop');
    await shop.emitInOrder('order.placed', range(5));

    const late = await (await harness.service('late')).collect('order.placed', { startFrom: 'first' });

    assert.deepEqual(sortedDataOf(await late.atLeast(5)), range(5));
  });

  test("a subscriber that starts from 'new' gets what was emitted since its service connected", async (harness) => {
    const shop = await harness.service('shop');
    await shop.emit('order.placed', 'before it connected');

    const late = await harness.service('late');
    await late.emit('order.placed', 'by itself, while starting');
    const received = await late.collect('order.placed', { startFrom: 'new', concurrency: 1 });
    await shop.emit('order.placed', 'after it subscribed');

    assert.deepEqual(dataOf(await received.atLeast(2)), ['by itself, while starting', 'after it subscribed']);
  });

  test('a subscriber that starts from a moment gets what was emitted since', async (harness) => {
    const shop = await harness.service('shop');
    await shop.emit('order.placed', 'before');
    await sleep(50);
    const moment = new Date();
    await sleep(50);
    await shop.emit('order.placed', 'after');

    const late = await harness.service('late');
    const received = await late.collect('order.placed', { startFrom: moment, concurrency: 1 });
    await shop.emit('order.placed', 'last');

    assert.deepEqual(dataOf(await received.atLeast(2)), ['after', 'last']);
  });

  test('a subscription that comes back goes on where it was', async (harness) => {
    const shop = await harness.service('shop');
    const first = await harness.service('mail');
    const before = await first.collect('order.placed', { startFrom: 'first' });
    await shop.emitInOrder('order.placed', range(3));
    await before.atLeast(3);
    await first.events.drain();

    await shop.emitInOrder('order.placed', range(3, 3));
    const second = await harness.service('mail');
    const after = await second.collect('order.placed', { startFrom: 'first', concurrency: 1 });
    await shop.emit('order.placed', 6);

    assert.deepEqual(dataOf(await after.atLeast(4)), range(4, 3));
    assert.deepEqual(sortedDataOf(before.items), range(3));
  });

  test('receipts tell the stream and a sequence that grows', async (harness) => {
    const shop = await harness.service('shop');

    const receipts = await shop.emitInOrder('order.placed', range(10));

    const streams = new Set(receipts.map(({ stream }) => stream));
    assert.equal(streams.size, 1);
    assert.equal(typeof receipts[0]?.stream, 'string');
    const sequences = receipts.map(({ sequence }) => sequence ?? assert.fail('a receipt without a sequence'));
    for (const [i, sequence] of sequences.entries()) {
      assert.ok(sequence > (sequences[i - 1] ?? 0), `sequences must grow: ${sequences.join(', ')}`);
    }
  });

  test('a second event of the same name, source and id is reported and not stored', async (harness) => {
    const shop = await harness.service('shop');
    const received = await shop.collect('order.placed', { concurrency: 1 });

    const first = await shop.emit('order.placed', 'first', { id: 'order 1' });
    const second = await shop.emit('order.placed', 'second', { id: 'order 1' });
    await shop.emit('order.placed', 'last');

    assert.equal(first.duplicate, false);
    assert.equal(second.duplicate, true);
    assert.equal(second.sequence, first.sequence);
    assert.deepEqual(dataOf(await received.atLeast(2)), ['first', 'last']);
  });

  test('the same id under another name, or from another service, is another event', async (harness) => {
    const shop = await harness.service('shop');
    const bazaar = await harness.service('bazaar');
    const received = await shop.collect(['order.placed', 'order.paid']);

    const receipts = [
      await shop.emit('order.placed', 0, { id: '1' }),
      await shop.emit('order.paid', 1, { id: '1' }),
      await bazaar.emit('order.placed', 2, { id: '1' }),
    ];

    assert.deepEqual(
      receipts.map(({ duplicate }) => duplicate),
      [false, false, false],
    );
    assert.deepEqual(sortedDataOf(await received.atLeast(3)), range(3));
  });

  test('an ephemeral handler receives what is stored while it listens, and nothing older', async (harness) => {
    const shop = await harness.service('shop');
    await shop.emit('order.placed', 'before');
    const screen = await harness.service('screen');
    const received = await screen.collect('order.placed', {
      delivery: 'ephemeral',
      startFrom: 'first',
      concurrency: 1,
    });

    await shop.emitInOrder('order.placed', ['now', 'last']);

    assert.deepEqual(dataOf(await received.atLeast(2)), ['now', 'last']);
  });

  test('two services whose names meet in one durable are told so', async (harness) => {
    const one = await harness.service('mail service');
    const other = await harness.service('mail-service');
    const received = await one.collect('order.placed');

    await assert.rejects(
      other.on('order.placed', () => {}),
      (error) =>
        error instanceof EventsError &&
        error.code === 'duplicate_handler' &&
        error.message.includes('mail service'),
    );

    await other.emit('order.placed', 'still delivered');
    await received.atLeast(1);
  });

  test('what is kept for a handler that no code claims any more is told', async (harness) => {
    const emitter = await harness.service('emitter');
    await emitter.collect('job.created', { name: 'Emitter.own' });
    const old = await harness.service('worker');
    const before = await old.collect('job.created', { name: 'Jobs.removed' });
    const beforeToo = await old.collect('job.*', { name: 'Jobs.removedToo' });
    await old.collect('job.created', { name: 'Jobs.kept' });
    await old.collect('job.created', { name: 'Jobs.everywhere', broadcast: true });
    await emitter.emit('job.created', 0);
    await Promise.all([before.atLeast(1), beforeToo.atLeast(1)]);
    await old.events.drain();

    const renewed = await harness.service('worker');
    if (renewed.transport.orphans === undefined) return;
    const kept = await renewed.collect('job.created', { name: 'Jobs.kept' });
    await emitter.emitInOrder('job.created', range(3, 1));
    await kept.atLeast(3);

    const orphans = await renewed.transport.orphans();
    assert.deepEqual(
      orphans.map(({ durable, handler, backlog }) => ({ durable, handler, backlog })).sort(byDurable),
      [
        { durable: durableName('worker', 'Jobs.removed'), handler: 'Jobs.removed', backlog: 3 },
        {
          durable: durableName('worker', 'Jobs.removedToo', 'job.*'),
          handler: 'Jobs.removedToo',
          backlog: 3,
        },
      ].sort(byDurable),
    );
  });
};

const byDurable = (a: { durable: string }, b: { durable: string }): number =>
  a.durable < b.durable ? -1 : 1;
