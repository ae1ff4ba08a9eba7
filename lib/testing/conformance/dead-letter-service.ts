import assert from 'node:assert/strict';
import type { DeadLetterFilter } from '../../core/dead-letter-filter';
import type { DeadLetter } from '../../core/dead-letter-reading';
import type { DeadLetterPage } from '../../core/dead-letter-service';
import { NonRetryableError } from '../../core/errors';
import { JsonCodec } from '../../core/json-codec';
import { durableName } from '../../core/names';
import type { Chapter } from './chapter';
import { sleep } from './collector';
import { hasCode } from './has-code';
import { untilDead, type Harness, type ServiceInstance } from './harness';
import { range } from './numbers';

/** How dead letters are found, counted and thrown away. */
export const deadLetterService: Chapter = (test, { durable, deadLetters }) => {
  if (!durable || !deadLetters) return;

  test('a dead letter tells the event, who failed, how, and where it was', async (harness) => {
    const billing = await harness.service('billing service');
    const retry = { attempts: 1, delay: 20 };
    await billing.on(
      'invoice.issued',
      () => {
        throw new TypeError('no such account');
      },
      { name: 'Books.enter', retry },
    );
    const data = { to: 'Zoë', issued: new Date('2026-01-02T03:04:05.678Z') };
    const before = Date.now();

    const receipt = await billing.emit('invoice.issued', data, {
      id: 'invoice 1',
      correlationId: 'case 7',
      headers: { 'x-tenant': 'Łódź' },
    });
    const [letter] = await untilDead(billing, 1);

    assert.ok(letter);
    const { id, firstFailedAt, lastFailedAt, origin, body, headers } = letter;
    const { event, eventId, correlationId, app, subscription, reason, error, attempts, redrives } = letter;
    const told = { event, eventId, correlationId, app, subscription, reason, error, attempts, redrives };
    assert.deepEqual(
      { ...told, durable: letter.durable },
      {
        event: 'invoice.issued',
        eventId: 'invoice 1',
        correlationId: 'case 7',
        app: 'billing service',
        subscription: 'Books.enter',
        durable: durableName('billing service', 'Books.enter'),
        reason: 'attempts_exhausted',
        error: { type: 'TypeError', message: 'no such account' },
        attempts: 2,
        redrives: 0,
      },
    );
    assert.match(id, /^[1-9]\d*$/);
    assert.deepEqual({ ...headers }, { 'x-tenant': 'Łódź' });
    assert.deepEqual(letter.data(), data);
    assert.deepEqual(Buffer.from(body), Buffer.from(new JsonCodec().encode(data).body));
    assert.equal(origin.stream, receipt.stream);
    assert.equal(origin.sequence, receipt.sequence);
    assert.equal(origin.subject, `${receipt.stream}.invoice.issued`);
    // Clocks of different machines, to a minute.
    assert.ok(Math.abs(origin.time.getTime() - before) < 60_000, String(origin.time));
    assert.ok(firstFailedAt <= lastFailedAt, `failed first at ${+firstFailedAt}, last at ${+lastFailedAt}`);
    assert.deepEqual(dataless(await billing.events.deadLetters.get(id)), dataless(letter));
  });

  test('dead letters are found by handler, durable, service, event and reason', async (harness) => {
    const billing = await cemetery(harness);

    assert.deepEqual(await found(billing, {}), [
      'archive/Books.enter invoice.issued',
      'archive/Books.enter invoice.paid',
      'billing/Books.enter invoice.issued',
      'billing/Mail.send invoice.issued',
      'billing/Mail.send invoice.paid',
    ]);
    const searches: [DeadLetterFilter, number][] = [
      [{ subscription: 'Books.enter' }, 3],
      [{ subscription: durableName('billing', 'Mail.send', 'invoice.*') }, 2],
      [{ app: 'archive' }, 2],
      [{ event: 'invoice.paid' }, 2],
      [{ event: 'invoice.*' }, 5],
      [{ event: '*.issued' }, 3],
      [{ reason: 'attempts_exhausted' }, 2],
      [{ reason: 'non_retryable' }, 3],
      [{ app: 'billing', event: 'invoice.issued', reason: 'non_retryable' }, 1],
      [{ app: 'shipping' }, 0],
      [{ reason: 'crash_loop' }, 0],
    ];
    for (const [filter, count] of searches) {
      assert.equal((await found(billing, filter)).length, count, JSON.stringify(filter));
    }
    await assert.rejects(
      billing.events.deadLetters.list({ event: 'invoice..paid' }),
      hasCode('invalid_pattern'),
    );
  });

  test('dead letters are found by the time at which they became some', async (harness) => {
    const billing = await grave(harness);
    await billing.emit('invoice.issued', 0);
    await untilDead(billing, 1);
    await sleep(50);
    const moment = new Date();
    await sleep(50);
    await billing.emit('invoice.issued', 1);
    await untilDead(billing, 2);

    const { deadLetters } = billing.events;
    assert.deepEqual(dataOf(await deadLetters.list({ since: moment })), [1]);
    assert.deepEqual(dataOf(await deadLetters.list({ until: moment })), [0]);
    assert.deepEqual(dataOf(await deadLetters.list({ since: moment, until: moment })), []);
  });

  test('dead letters are listed in pages, oldest first', async (harness) => {
    const billing = await grave(harness);
    // One after the other: the order in which they fail is theirs.
    await billing.emitInOrder('invoice.issued', range(230));
    const all = await untilDead(billing, 230);
    const { deadLetters } = billing.events;

    assert.deepEqual(
      all.map((letter) => letter.data()),
      range(230),
    );
    const sizes: number[] = [];
    const paged: unknown[] = [];
    let cursor: string | undefined;
    do {
      const page: DeadLetterPage = await deadLetters.list({ limit: 50, ...(cursor ? { cursor } : {}) });
      sizes.push(page.items.length);
      paged.push(...dataOf(page));
      cursor = page.cursor;
    } while (cursor !== undefined);
    assert.deepEqual(sizes, [50, 50, 50, 50, 30]);
    assert.deepEqual(paged, range(230));

    assert.equal((await deadLetters.list()).items.length, 100);
    assert.equal((await deadLetters.list({ limit: 230 })).cursor, undefined);
    for (const limit of [0, 1001, 1.5]) {
      await assert.rejects(deadLetters.list({ limit }), hasCode('invalid_configuration'));
    }
  });

  test('dead letters are counted by service, handler, event and reason', async (harness) => {
    const billing = await cemetery(harness);
    await billing.emitInOrder('invoice.paid', range(3));
    await untilDead(billing, 11);
    const { deadLetters } = billing.events;

    const counts = await deadLetters.count();

    const numbers = counts.map(({ count }) => count);
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => b - a),
    );
    const told = counts.map(
      (each) => `${each.app}/${each.subscription} ${each.event} ${each.reason}: ${each.count}`,
    );
    assert.deepEqual(told.sort(), [
      'archive/Books.enter invoice.issued non_retryable: 1',
      'archive/Books.enter invoice.paid non_retryable: 4',
      'billing/Books.enter invoice.issued non_retryable: 1',
      'billing/Mail.send invoice.issued attempts_exhausted: 1',
      'billing/Mail.send invoice.paid attempts_exhausted: 4',
    ]);
    assert.deepEqual(
      (await deadLetters.count({ app: 'archive', event: 'invoice.paid' })).map(({ count }) => count),
      [4],
    );
    assert.deepEqual(await deadLetters.count({ app: 'shipping' }), []);
  });

  test('a dead letter that is not there is not found', async (harness) => {
    const billing = await grave(harness);
    const { deadLetters } = billing.events;
    assert.deepEqual(await deadLetters.list(), { items: [] });
    assert.deepEqual(await deadLetters.count(), []);
    assert.equal(await deadLetters.get('1'), undefined);
    await billing.emit('invoice.issued', 0);
    const [letter] = await untilDead(billing, 1);
    assert.ok(letter);

    const unknown = String(Number(letter.id) + 1);
    assert.equal(await deadLetters.get(unknown), undefined);
    assert.equal(await deadLetters.discard(unknown), 0);
    for (const id of ['', '0', 'one', '1e3', '-1', '1 or 2']) {
      await assert.rejects(deadLetters.get(id), hasCode('no_dead_letter'), id);
      await assert.rejects(deadLetters.discard(id), hasCode('no_dead_letter'), id);
    }
    assert.deepEqual(await deadLetters.list({ cursor: letter.id }), { items: [] });
  });

  test('a discarded dead letter is gone, and others stay', async (harness) => {
    const billing = await cemetery(harness);
    const { deadLetters } = billing.events;
    const [first] = (await deadLetters.list({ app: 'archive', event: 'invoice.issued' })).items;
    assert.ok(first);

    assert.equal(await deadLetters.discard(first.id), 1);
    assert.equal(await deadLetters.discard(first.id), 0);
    assert.equal(await deadLetters.get(first.id), undefined);
    assert.equal(await deadLetters.discard({ event: 'invoice.issued' }), 2);
    assert.equal(await deadLetters.discard({ event: 'invoice.issued' }), 0);
    assert.deepEqual(await found(billing, {}), [
      'archive/Books.enter invoice.paid',
      'billing/Mail.send invoice.paid',
    ]);

    assert.equal(await deadLetters.discard({}), 2);
    assert.deepEqual(await deadLetters.list(), { items: [] });
    await billing.emit('invoice.paid', null);
    const later = await untilDead(billing, 2);
    for (const { id } of later) assert.ok(Number(id) > Number(first.id), 'ids must grow');
  });
};

/** One handler that gives everything up. */
async function grave(harness: Harness): Promise<ServiceInstance> {
  const billing = await harness.service('billing');
  await billing.on('invoice.issued', giveUp, { name: 'Books.enter', concurrency: 1 });
  return billing;
}

/** Two services, three handlers, two events, two reasons: five dead letters. */
async function cemetery(harness: Harness): Promise<ServiceInstance> {
  const billing = await harness.service('billing');
  const archive = await harness.service('archive');
  const fail = (): never => {
    throw new Error('no');
  };
  await billing.on('invoice.issued', giveUp, { name: 'Books.enter' });
  await billing.on('invoice.*', fail, { name: 'Mail.send', retry: { attempts: 0 } });
  await archive.on(['invoice.issued', 'invoice.paid'], giveUp, { name: 'Books.enter' });
  await billing.emit('invoice.issued', null);
  await billing.emit('invoice.paid', null);
  await untilDead(billing, 5);
  return billing;
}

function giveUp(): never {
  throw new NonRetryableError('never');
}

async function found({ events }: ServiceInstance, filter: DeadLetterFilter): Promise<string[]> {
  const { items } = await events.deadLetters.list(filter);
  return items.map(({ app, subscription, event }) => `${app}/${subscription} ${event}`).sort();
}

const dataOf = ({ items }: DeadLetterPage): unknown[] => items.map((letter) => letter.data());

const dataless = (letter: DeadLetter | undefined): object => ({ ...letter, data: undefined });
