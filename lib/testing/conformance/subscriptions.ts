import assert from 'node:assert/strict';
import type { Chapter } from './chapter';
import { Collector } from './collector';
import { range, sortedDataOf } from './numbers';

const NAMES = [
  'user',
  'user.created',
  'user.address.changed',
  'user_account.created',
  'vendor',
  'vendor.approved',
  'vendor.contract.line.added',
  'order.placed',
];

const MATCHING: Readonly<Record<string, readonly string[]>> = {
  user: ['user'],
  'user.created': ['user.created'],
  'user.*': ['user.created'],
  '*.created': ['user.created', 'user_account.created'],
  '*': ['user', 'vendor'],
  'user.*.changed': ['user.address.changed'],
  '*.*': ['user.created', 'user_account.created', 'vendor.approved', 'order.placed'],
  'vendor.>': ['vendor.approved', 'vendor.contract.line.added'],
  '*.*.>': ['user.address.changed', 'vendor.contract.line.added'],
  '>': NAMES,
};

/** What one subscription takes, and how much of it at once. */
export const subscriptions: Chapter = (test) => {
  test('"*" stands for exactly one token and a last ">" for one or more', async (harness) => {
    const listener = await harness.service('listener');
    const arrivals = new Map<string, Collector<string>>();
    for (const pattern of Object.keys(MATCHING)) {
      const names = new Collector<string>(`events of '${pattern}'`);
      arrivals.set(pattern, names);
      await listener.on(pattern, (_, { name }) => names.add(name), { concurrency: 1 });
    }

    // Twice: what a pattern took too much of in the first round stands before what it gets in the second.
    for (const name of [...NAMES, ...NAMES]) await listener.emit(name, null);

    for (const [pattern, names] of arrivals) {
      const expected = MATCHING[pattern] ?? [];
      assert.deepEqual(
        await names.atLeast(2 * expected.length),
        [...expected, ...expected],
        `pattern '${pattern}'`,
      );
    }
  });

  test('a handler of names and patterns gets each of their events once', async (harness) => {
    const listener = await harness.service('listener');
    const received = await listener.collect(['order.placed', 'order.paid', 'user.*', 'vendor.>']);
    const names = ['order.placed', 'user.created', 'order.shipped', 'vendor.a.b', 'order.paid', 'vendor.c'];

    for (const [i, name] of [...names, ...names].entries()) await listener.emit(name, i);

    assert.deepEqual(sortedDataOf(await received.atLeast(10)), [0, 1, 3, 4, 5, 6, 7, 9, 10, 11]);
  });

  test('the exact names of one handler share one subscription: its order and its concurrency', async (harness) => {
    const service = await harness.service('ledger');
    const gate = harness.gate();
    const names = ['entry.booked', 'entry.cancelled'];
    const held = await service.collect(names, { name: 'Ledger.held', concurrency: 1 }, () => gate.opened);
    const free = await service.collect(names, { name: 'Ledger.free', concurrency: 1 });

    for (let i = 0; i < 10; i++) await service.emit(names[i % 2] ?? '', i);
    await free.atLeast(10);
    await held.atLeast(1);
    assert.equal(held.items.length, 1);
    gate.open();

    const data = (await held.atLeast(10)).map((received) => received.data);
    assert.deepEqual(data, range(10));
  });

  test('no more events are handled at once than the concurrency allows', async (harness) => {
    const service = await harness.service('worker');
    const gate = harness.gate();
    let running = 0;
    let most = 0;
    const bounded = await service.collect('job.created', { name: 'bounded', concurrency: 3 }, async () => {
      most = Math.max(most, ++running);
      await gate.opened;
      running--;
    });
    const other = await service.collect('job.created', { name: 'other' });

    await Promise.all(range(30).map((job) => service.emit('job.created', job)));
    await bounded.atLeast(3);
    await other.atLeast(30);
    assert.equal(running, 3);
    gate.open();

    assert.deepEqual(sortedDataOf(await bounded.atLeast(30)), range(30));
    assert.equal(most, 3);
  });
};
