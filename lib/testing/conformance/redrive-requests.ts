import assert from 'node:assert/strict';
import type { DeadLetterStore } from '../../core/dead-letter-store';
import type { RedriveResult } from '../../core/dead-letter-service';
import type { Chapter } from './chapter';
import { hasCode } from './has-code';
import { untilDead, type ServiceInstance } from './harness';
import { dataOf, range, sortedDataOf } from './numbers';
import { ENTER, giveUp, Repairable } from './repairable';

/** Which dead letters are redriven, and which are not. */
export const redriveRequests: Chapter = (test, { durable, deadLetters }) => {
  if (!durable || !deadLetters) return;

  test('an event is redriven no more often than is allowed', async (harness) => {
    const billing = await harness.service('billing', { maxRedrives: 1 });
    const failing = await Repairable.on(billing);
    await billing.emit('invoice.issued', null);
    const [first] = await untilDead(billing, 1);
    await billing.events.deadLetters.redrive(first?.id ?? '');
    await failing.failed.atLeast(2);
    const [again] = await untilDead(billing, 1);
    assert.ok(again);
    const { deadLetters } = billing.events;

    await assert.rejects(deadLetters.redrive(again.id), hasCode('redrive_limit'));
    const dry = await deadLetters.redrive({}, { dryRun: true });
    const { redriven, refused } = await deadLetters.redrive({});

    for (const told of [dry.refused, refused]) {
      assert.deepEqual(
        told.map(({ id, error }) => [id, error.code]),
        [[again.id, 'redrive_limit']],
      );
    }
    assert.deepEqual(redriven, []);
    assert.equal((await untilDead(billing, 1))[0]?.id, again.id);
  });

  test('how often an event was redriven is counted here, whatever its sender says', async (harness) => {
    const billing = await harness.service('billing', { maxRedrives: 1 });
    const failing = await Repairable.on(billing, { retry: { attempts: 0 } });
    await billing.publishRaw('invoice.issued', { 'Event-Redrives': '7', 'event-redrives': '7' }, '1');
    const [letter] = await untilDead(billing, 1);
    assert.ok(letter);
    assert.equal(letter.redrives, 0);

    await billing.events.deadLetters.redrive(letter.id);
    await failing.failed.atLeast(2);
    const [again] = await untilDead(billing, 1);
    assert.equal(again?.redrives, 1);
    await assert.rejects(billing.events.deadLetters.redrive(again.id), hasCode('redrive_limit'));
  });

  test('what no handler can receive alone is refused, and stays a dead letter', async (harness) => {
    const billing = await harness.service('billing');
    await billing.on('invoice.issued', giveUp, { name: 'Cache.drop', broadcast: true });
    await billing.on('invoice.issued', giveUp, { name: 'Screen.show', delivery: 'ephemeral' });
    const failing = await Repairable.on(billing);
    await billing.emit('invoice.issued', null);
    const letters = await untilDead(billing, 3);
    const idOf = (subscription: string): string =>
      letters.find((letter) => letter.subscription === subscription)?.id ?? '';
    const hopeless = [idOf('Cache.drop'), idOf('Screen.show')];
    const { deadLetters } = billing.events;
    failing.repair();

    for (const dryRun of [true, false]) {
      for (const id of hopeless) {
        await assert.rejects(deadLetters.redrive(id, { dryRun }), hasCode('no_handler'));
      }
      const { redriven, refused } = await deadLetters.redrive({}, { dryRun });
      assert.deepEqual(redriven, [idOf('Books.enter')]);
      assert.deepEqual(
        new Map(refused.map(({ id, error }) => [id, error.code])),
        new Map(hopeless.map((id) => [id, 'no_handler'])),
      );
    }
    await failing.handled.atLeast(1);
    const left = await untilDead(billing, 2);
    assert.deepEqual(left.map(({ id }) => id).sort(), hopeless.sort());
  });

  test('a dead letter that is not there cannot be redriven', async (harness) => {
    const billing = await harness.service('billing');
    const failing = await Repairable.on(billing);
    const { deadLetters } = billing.events;
    await assert.rejects(deadLetters.redrive('1'), hasCode('no_dead_letter'));
    assert.deepEqual(await deadLetters.redrive({}), { redriven: [], refused: [] });
    await billing.emit('invoice.issued', null);
    const [letter] = await untilDead(billing, 1);
    assert.ok(letter);
    failing.repair();

    await deadLetters.redrive(letter.id);

    await assert.rejects(deadLetters.redrive(letter.id), hasCode('no_dead_letter'));
    await assert.rejects(deadLetters.redrive('one'), hasCode('no_dead_letter'));
    await assert.rejects(deadLetters.redrive({}, { limit: 0 }), hasCode('invalid_configuration'));
    await assert.rejects(deadLetters.redrive({}, { rate: 0 }), hasCode('invalid_configuration'));
  });

  test('a redrive of many takes those that match, and goes on where it stopped', async (harness) => {
    const billing = await harness.service('billing');
    const failing = await Repairable.on(billing);
    await billing.on('invoice.issued', giveUp, { name: 'Mail.send', concurrency: 1 });
    await billing.emitInOrder('invoice.issued', range(5));
    await untilDead(billing, 10);
    const { deadLetters } = billing.events;
    const filter = { subscription: 'Books.enter' };
    const ids = (await deadLetters.list(filter)).items.map(({ id }) => id);
    failing.repair();

    const dry = await deadLetters.redrive(filter, { dryRun: true, limit: 2 });
    assert.deepEqual(dry, { redriven: ids.slice(0, 2), refused: [], cursor: ids[1] });
    assert.deepEqual(await deadLetters.redrive(filter, { dryRun: true }), { redriven: ids, refused: [] });
    assert.equal((await untilDead(billing, 10)).length, 10);

    const parts: RedriveResult[] = [];
    let cursor: string | undefined;
    do {
      const part = await deadLetters.redrive(filter, { limit: 2, rate: 1000, ...(cursor ? { cursor } : {}) });
      parts.push(part);
      cursor = part.cursor;
    } while (cursor !== undefined);
    assert.deepEqual(
      parts.map(({ redriven }) => redriven),
      [ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)],
    );
    await failing.handled.atLeast(5);
    await billing.emit('invoice.issued', 5);

    assert.deepEqual(sortedDataOf(await failing.handled.atLeast(6)), range(6));
    await untilDead(billing, 0, filter);
    await untilDead(billing, 6, { subscription: 'Mail.send' });
  });

  test('what fails again while many are redriven is not taken a second time', async (harness) => {
    const billing = await harness.service('billing');
    const failing = await Repairable.on(billing);
    await billing.emitInOrder('invoice.issued', range(120));
    await untilDead(billing, 120);

    const { redriven, refused } = await billing.events.deadLetters.redrive({}, { rate: 100_000 });

    assert.equal(redriven.length, 120);
    assert.deepEqual(refused, []);
    await failing.failed.atLeast(240);
    const again = await untilDead(billing, 120);
    assert.deepEqual(new Set(again.map(({ redrives }) => redrives)), new Set([1]));
    assert.equal(failing.failed.items.length, 240);
  });

  test('a dead letter that two redrive at once is delivered once', async (harness) => {
    const billing = await harness.service('billing');
    const operator = await harness.service('operator');
    const failing = await Repairable.on(billing);
    await billing.emitInOrder('invoice.issued', ['first', 'last']);
    const [first, last] = await untilDead(billing, 2);
    assert.ok(first && last);
    failing.repair();

    const results = await Promise.allSettled(
      [billing, operator, billing].map(({ events }) => events.deadLetters.redrive(first.id)),
    );
    for (const result of results) {
      // Whoever looks when another is done finds nothing.
      if (result.status === 'rejected')
        assert.ok(hasCode('no_dead_letter')(result.reason), String(result.reason));
    }
    assert.ok(results.some(({ status }) => status === 'fulfilled'));
    await failing.handled.atLeast(1);
    await billing.events.deadLetters.redrive(last.id);

    assert.deepEqual(dataOf(await failing.handled.atLeast(2)), ['first', 'last']);
    await untilDead(billing, 0);
  });

  test('a redrive that ended before it removed the dead letter loses nothing', async (harness) => {
    const operator = await harness.service('operator');
    const billing = await harness.service('billing');
    const failing = await Repairable.on(billing);
    await billing.emit('invoice.issued', 'kept');
    const [letter] = await untilDead(operator, 1);
    assert.ok(letter);
    await billing.events.drain();
    const store = storeOf(operator);
    const stored = await store.get(letter.id);
    assert.ok(stored);
    // Sent, and no more: the process died.
    await store.redrive(stored, 1);

    assert.deepEqual(await operator.events.deadLetters.redrive({}), { redriven: [letter.id], refused: [] });

    await untilDead(operator, 0);
    const returned = await harness.service('billing');
    const handled = await returned.collect('invoice.issued', ENTER);
    await returned.emit('invoice.issued', 'last');
    const data = dataOf(
      await handled.until((items) => items.some((item) => item.data === 'last'), 'the last'),
    );
    assert.ok(data.includes('kept'), `only ${JSON.stringify(data)} arrived`);
    assert.equal(failing.failed.items.length, 1);
  });

  test('two dead letters of one id, of a stream that began anew, are two', async (harness) => {
    const billing = await harness.service('billing');
    const failing = await Repairable.on(billing);
    await billing.emitInOrder('invoice.issued', ['first', 'second']);
    const [first, second] = await untilDead(billing, 2);
    assert.ok(first && second);
    const store = storeOf(billing);
    const stored = await Promise.all([store.get(first.id), store.get(second.id)]);
    assert.ok(stored[0] && stored[1]);
    failing.repair();

    await store.redrive(stored[0], 1);
    await failing.handled.atLeast(1);
    await store.redrive({ ...stored[1], id: stored[0].id, storedAt: stored[0].storedAt + 60_000 }, 1);

    assert.deepEqual(dataOf(await failing.handled.atLeast(2)), ['first', 'second']);
  });

  test('a dead letter of a stranger that leads to no handler is refused', async (harness) => {
    const billing = await harness.service('billing');
    const failing = await Repairable.on(billing);
    await billing.emit('invoice.issued', null);
    const [letter] = await untilDead(billing, 1);
    const store = storeOf(billing);
    const stored = await store.get(letter?.id ?? '');
    assert.ok(stored);
    const durable = stored.headers['Event-Origin-Durable'] ?? '';
    const subject = stored.headers['Event-Origin-Subject'] ?? '';
    failing.repair();

    const strange: Record<string, string>[] = [
      ...[
        '',
        'a',
        `${durable} x`,
        `${durable}.x`,
        '*',
        '>',
        'x__*',
        'x'.repeat(5000),
        `${'x'.repeat(5000)}__y`,
      ].map((text) => ({ 'Event-Origin-Durable': text })),
      ...['', `${subject} x`, `${subject}.`, `.${subject}`, 'a..b', 'a\tb', 'a\u0000b'].map((text) => ({
        'Event-Origin-Subject': text,
      })),
    ];
    for (const headers of strange) {
      const forged = { ...stored, headers: { ...stored.headers, ...headers } };
      for (const sending of [store.assertRedrivable(forged), store.redrive(forged, 1)])
        await assert.rejects(sending, hasCode('no_handler'), JSON.stringify(headers).slice(0, 100));
    }
    await billing.events.deadLetters.redrive(letter?.id ?? '');
    assert.equal((await failing.handled.atLeast(1)).length, 1);
  });
};

function storeOf({ transport }: ServiceInstance): DeadLetterStore {
  assert.ok(transport.deadLetters, 'the transport keeps dead letters');
  return transport.deadLetters;
}
