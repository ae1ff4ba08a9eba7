import assert from 'node:assert/strict';
import type { DeadLetter } from '../../core/dead-letter-reading';
import { NonRetryableError } from '../../core/errors';
import type { EventContext } from '../../core/event-map';
import type { Chapter } from './chapter';
import { Collector } from './collector';
import { untilDead } from './harness';
import { hasCode } from './has-code';
import { dataOf, range, sortedDataOf } from './numbers';
import { ENTER, giveUp, Repairable } from './repairable';

/** The way of a dead letter back to its handler. */
export const redrives: Chapter = (test, { durable, deadLetters }) => {
  if (!durable || !deadLetters) return;

  test('a redriven event goes to the handler that failed, and to no other', async (harness) => {
    const billing = await harness.service('billing');
    const archive = await harness.service('archive');
    const failing = await Repairable.on(billing);
    const others = [
      await billing.collect('invoice.issued', { name: 'Mail.send', concurrency: 1 }),
      await billing.collect('invoice.*', { name: 'Audit.log', concurrency: 1 }),
      await billing.collect('invoice.issued', { name: 'Cache.drop', broadcast: true, concurrency: 1 }),
      await archive.collect('invoice.issued', { ...ENTER, concurrency: 1 }),
      await archive.collect('invoice.issued', { name: 'Screen', delivery: 'ephemeral', concurrency: 1 }),
    ];
    await billing.emit('invoice.issued', 'first');
    const [letter] = await untilDead(billing, 1);
    failing.repair();

    assert.deepEqual(await billing.events.deadLetters.redrive(letter?.id ?? ''), {
      redriven: [letter?.id],
      refused: [],
    });
    await failing.handled.atLeast(1);
    await billing.emit('invoice.issued', 'last');

    for (const other of others) assert.deepEqual(dataOf(await other.atLeast(2)), ['first', 'last']);
    assert.deepEqual(dataOf(await failing.handled.atLeast(2)), ['first', 'last']);
    await untilDead(billing, 0);
  });

  test('a redriven event is what it was, and its attempts are counted from 1', async (harness) => {
    const billing = await harness.service('billing');
    const failing = await Repairable.on(billing, { retry: { attempts: 2, delay: 20 } });
    const data = { to: 'Zoë', issued: new Date('2026-01-02T03:04:05.678Z'), lines: [1.5, null] };
    await billing.emit('invoice.issued', data, {
      id: 'invoice 1',
      correlationId: 'case 7',
      causationId: 'cause 3',
      time: new Date('2026-01-02T03:04:06Z'),
      headers: { 'x-tenant': 'Łódź' },
    });
    const [letter] = await untilDead(billing, 1);
    failing.repair();

    await billing.events.deadLetters.redrive(letter?.id ?? '');

    const [item] = await failing.handled.atLeast(1);
    assert.ok(item);
    assert.deepEqual(item.data, data);
    assert.deepEqual(attributesOf(item.context), {
      id: 'invoice 1',
      name: 'invoice.issued',
      source: 'billing',
      time: new Date('2026-01-02T03:04:06Z'),
      correlationId: 'case 7',
      causationId: 'cause 3',
      attempt: 1,
      subscription: 'Books.enter',
      headers: { 'x-tenant': 'Łódź' },
    });
  });

  test('a redriven event of a foreign sender keeps the id and the time that stand in for its own', async (harness) => {
    const billing = await harness.service('billing');
    const failing = await Repairable.on(billing, { retry: { attempts: 0 } });
    await billing.publishRaw('invoice.issued', { 'x-tenant': 'a' }, '{"number":1}');
    const [letter] = await untilDead(billing, 1);
    const [first] = failing.failed.items;
    assert.ok(first && letter);
    assert.equal(letter.eventId, first.context.id);
    failing.repair();

    await billing.events.deadLetters.redrive(letter.id);

    const [item] = await failing.handled.atLeast(1);
    assert.ok(item);
    assert.deepEqual(item.data, { number: 1 });
    assert.deepEqual(attributesOf(item.context), attributesOf(first.context));
  });

  test('a redriven event of a wildcard handler arrives under its own name', async (harness) => {
    const billing = await harness.service('billing');
    const failing = await Repairable.on(billing, {}, ['invoice.issued', 'order.*', 'vendor.>']);
    for (const name of ['invoice.issued', 'order.placed', 'vendor.contract.signed'])
      await billing.emit(name, name);
    await untilDead(billing, 3);
    failing.repair();

    const { redriven } = await billing.events.deadLetters.redrive({ subscription: 'Books.enter' });

    assert.equal(redriven.length, 3);
    const items = await failing.handled.atLeast(3);
    assert.deepEqual(items.map(({ context }) => context.name).sort(), [
      'invoice.issued',
      'order.placed',
      'vendor.contract.signed',
    ]);
    for (const { data, context } of items) assert.equal(data, context.name);
  });

  test('a redrive is handled once, by any instance of the service', async (harness) => {
    const instances = await Promise.all(range(3).map(() => harness.service('billing')));
    const handled = new Collector<number>('invoices handled by all instances');
    let broken = true;
    for (const instance of instances) {
      await instance.on(
        'invoice.issued',
        (data) => {
          if (broken) throw new NonRetryableError('no such account');
          handled.add(data as number);
        },
        ENTER,
      );
    }
    const [one] = instances;
    assert.ok(one);
    await one.emitInOrder('invoice.issued', range(20));
    await untilDead(one, 20);
    broken = false;

    await one.events.deadLetters.redrive({});
    await handled.atLeast(20);
    await one.emit('invoice.issued', 20);

    assert.deepEqual(
      [...(await handled.atLeast(21))].sort((a, b) => a - b),
      range(21),
    );
  });

  test('a redrive to a service that is down is handled when it returns', async (harness) => {
    const operator = await harness.service('operator');
    const billing = await harness.service('billing');
    await Repairable.on(billing);
    await billing.emit('invoice.issued', 'kept');
    const [letter] = await untilDead(billing, 1);
    await billing.events.drain();

    await operator.events.deadLetters.redrive(letter?.id ?? '');
    await untilDead(operator, 0);
    const returned = await harness.service('billing');
    const handled = await returned.collect('invoice.issued', ENTER);

    const [item] = await handled.atLeast(1);
    assert.equal(item?.data, 'kept');
    assert.equal(item.context.attempt, 1);
  });

  test('a redrive to a handler that was unsubscribed is handled when it is subscribed again', async (harness) => {
    const billing = await harness.service('billing');
    const subscription = await billing.on('invoice.issued', giveUp, ENTER);
    await billing.emitInOrder('invoice.issued', ['before', 'after']);
    const [before, after] = await untilDead(billing, 2);
    await subscription.unsubscribe();

    await billing.events.deadLetters.redrive(before?.id ?? '');
    const handled = await billing.collect('invoice.issued', ENTER);
    assert.deepEqual(dataOf(await handled.atLeast(1)), ['before']);
    await billing.events.deadLetters.redrive(after?.id ?? '');

    assert.deepEqual(dataOf(await handled.atLeast(2)), ['before', 'after']);
  });

  test('a redriven event that fails again is a dead letter again, with its origin and one redrive more', async (harness) => {
    const billing = await harness.service('billing');
    const failing = await Repairable.on(billing, { retry: { attempts: 1, delay: 20 } });
    await billing.emit('invoice.issued', { number: 1 }, { id: 'invoice 1', headers: { 'x-tenant': 'a' } });
    const [first] = await untilDead(billing, 1);
    assert.ok(first);

    let previous = first;
    for (const redrives of [1, 2]) {
      await billing.events.deadLetters.redrive(previous.id);
      await failing.failed.atLeast(2 + 2 * redrives);
      const [again] = await untilDead(billing, 1);
      assert.ok(again);
      assert.ok(Number(again.id) > Number(previous.id), `${again.id} must come after ${previous.id}`);
      assert.ok(again.firstFailedAt >= previous.lastFailedAt, 'the failures are those of the last redrive');
      assert.deepEqual(constantsOf(again), { ...constantsOf(first), redrives });
      previous = again;
    }
    const attempts = failing.failed.items.map(({ context }) => context.attempt);
    assert.deepEqual(attempts, [1, 2, 1, 2, 1, 2]);

    failing.repair();
    await billing.events.deadLetters.redrive(previous.id);
    assert.deepEqual(dataOf(await failing.handled.atLeast(1)), [{ number: 1 }]);
    await untilDead(billing, 0);
  });

  test('bytes that cannot be read stay the same, however often they are redriven', async (harness) => {
    const billing = await harness.service('billing');
    await billing.on('invoice.issued', () => {}, ENTER);
    const body = Buffer.of(0xff, 0xfe, 0x7b, 0x00, 0x0d, 0x0a);
    await billing.publishRaw('invoice.issued', {}, body);
    const [first] = await untilDead(billing, 1);

    await billing.events.deadLetters.redrive(first?.id ?? '');
    const [again] = await untilDead(billing, 1);

    assert.equal(again?.reason, 'undecodable');
    assert.equal(again.redrives, 1);
    assert.deepEqual(Buffer.from(again.body), body);
    assert.throws(() => again.data(), hasCode('undecodable'));
  });

  test('a redriven event is given to the version of its handler that takes its name', async (harness) => {
    const next = await harness.service('billing');
    const failing = await Repairable.on(next, {}, ['invoice.issued', 'invoice.voided']);
    const old = await harness.service('billing');
    const wrong = await old.collect('invoice.issued', ENTER);
    await next.emitInOrder('invoice.voided', range(3));
    await untilDead(next, 3);
    failing.repair();

    await next.events.deadLetters.redrive({});

    assert.deepEqual(sortedDataOf(await failing.handled.atLeast(3)), range(3));
    assert.deepEqual(
      wrong.items.map(({ context }) => context.name),
      [],
    );
    await untilDead(next, 0);
  });

  test('a redriven event of a name that no instance takes any more waits for one that does', async (harness) => {
    const first = await harness.service('billing');
    await Repairable.on(first, {}, ['invoice.issued', 'invoice.voided']);
    await first.emit('invoice.voided', null);
    const [letter] = await untilDead(first, 1);
    await first.events.drain();
    const second = await harness.service('billing');
    const wrong = await second.collect('invoice.issued', ENTER);
    await second.events.deadLetters.redrive(letter?.id ?? '');
    await second.emit('invoice.issued', 'own');
    await wrong.atLeast(1);

    const third = await harness.service('billing');
    const handled = await third.collect(['invoice.issued', 'invoice.voided'], ENTER);

    const [item] = await handled.atLeast(1);
    assert.equal(item?.context.name, 'invoice.voided');
    assert.deepEqual(dataOf(wrong.items), ['own']);
  });

  test('a redriven event whose instance goes away is handled by another one', async (harness) => {
    const operator = await harness.service('operator');
    const billing = await harness.service('billing', { shutdownTimeout: 100 });
    const gate = harness.gate();
    let broken = true;
    const held = await billing.collect('invoice.issued', ENTER, async () => {
      if (broken) throw new NonRetryableError('no such account');
      await gate.opened;
    });
    await billing.emit('invoice.issued', 'kept');
    const [letter] = await untilDead(operator, 1);
    broken = false;
    await operator.events.deadLetters.redrive(letter?.id ?? '');
    await held.atLeast(2);

    await billing.events.drain();
    const successor = await harness.service('billing');
    const handled = await successor.collect('invoice.issued', ENTER);

    assert.deepEqual(dataOf(await handled.atLeast(1)), ['kept']);
    await untilDead(operator, 0);
  });

  test('draining waits for the redriven event that runs', async (harness) => {
    const operator = await harness.service('operator');
    const billing = await harness.service('billing');
    const gate = harness.gate();
    let broken = true;
    const running = await billing.collect('invoice.issued', ENTER, async () => {
      if (broken) throw new NonRetryableError('no such account');
      await gate.opened;
      await billing.emit('invoice.entered', 'while draining');
    });
    const entered = await operator.collect('invoice.entered');
    await billing.emit('invoice.issued', null);
    const [letter] = await untilDead(billing, 1);
    broken = false;
    await billing.events.deadLetters.redrive(letter?.id ?? '');
    await running.atLeast(2);

    const draining = billing.events.drain();
    gate.open();
    await draining;

    assert.deepEqual(dataOf(await entered.atLeast(1)), ['while draining']);
    const returned = await harness.service('billing');
    const handled = await returned.collect('invoice.issued', ENTER);
    await returned.emit('invoice.issued', 'last');
    assert.deepEqual(dataOf(await handled.atLeast(1)), ['last']);
  });
};

function attributesOf(context: EventContext): object {
  const { id, name, source, time, correlationId, causationId, attempt, subscription, headers } = context;
  return {
    ...{ id, name, source, time, correlationId, causationId, attempt, subscription },
    headers: { ...headers },
  };
}

const CHANGING = new Set(['id', 'firstFailedAt', 'lastFailedAt', 'data']);

/** What a dead letter keeps when its event fails again. */
function constantsOf(letter: DeadLetter): Record<string, unknown> {
  const plain = { ...letter, headers: { ...letter.headers }, body: Buffer.from(letter.body) };
  return Object.fromEntries(Object.entries(plain).filter(([key]) => !CHANGING.has(key)));
}
