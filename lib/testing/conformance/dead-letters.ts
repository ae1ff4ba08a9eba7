import assert from 'node:assert/strict';
import { NonRetryableError } from '../../core/errors';
import { JsonCodec } from '../../core/json-codec';
import { durableName } from '../../core/names';
import type { Chapter } from './chapter';
import { dataOf } from './numbers';
import type { StoredDeadLetter } from './transport-under-test';

const MAX_FAILURE_BYTES = 2048;
const ATTRIBUTES = {
  'ce-specversion': '1.0',
  'ce-id': '1',
  'ce-source': 'elsewhere',
  'ce-type': 'invoice.issued',
  'ce-time': '2026-01-02T03:04:05.000Z',
};

/** What becomes of an event that nobody could handle. */
export const deadLetters: Chapter = (test, { durable, deadLetters: kept }) => {
  if (!kept) return;

  test('an event whose attempts are exhausted is kept, complete, with what went wrong and where', async (harness) => {
    const billing = await harness.service('billing');
    const handler = await billing.collect(
      'invoice.issued',
      { name: 'Books.enter', concurrency: 1, retry: { attempts: 2, delay: 30 } },
      (data) => {
        if (data !== 'last') throw new TypeError('no such account');
      },
    );
    const data = {
      number: 'R/2026-1',
      to: 'Zoë',
      issued: new Date('2026-01-02T03:04:05.678Z'),
      lines: [1.5, null],
    };

    const receipt = await billing.emit('invoice.issued', data, {
      id: 'invoice 1',
      correlationId: 'case 7',
      causationId: 'cause 3',
      time: new Date('2026-01-02T03:04:06Z'),
      headers: { 'x-tenant': 'Łódź' },
    });
    const [letter] = await harness.deadLetters(1);
    assert.ok(letter);

    const encoded = new JsonCodec().encode(data);
    assert.deepEqual(Buffer.from(letter.body), Buffer.from(encoded.body));
    assertHeaders(letter, {
      'ce-specversion': '1.0',
      'ce-id': 'invoice%201',
      'ce-source': 'billing',
      'ce-type': 'invoice.issued',
      'ce-time': '2026-01-02T03:04:06.000Z',
      'ce-correlationid': 'case%207',
      'ce-causationid': 'cause%203',
      'content-type': 'application/json',
      'x-tenant': 'Łódź',
      'Event-Failure-Reason': 'attempts_exhausted',
      'Event-Failure-Type': 'TypeError',
      'Event-Failure-Message': 'no such account',
      'Event-Failure-Attempts': '3',
      'Event-Origin-Durable': durableName('billing', 'Books.enter'),
      'Event-Origin-App': 'billing',
      'Event-Origin-Handler': 'Books.enter',
    });
    assert.ok(
      letter.headers['ce-datepaths'],
      'without its date paths the event could not be delivered as it was',
    );
    assert.match(header(letter, 'Event-Origin-Subject'), /\.invoice\.issued$/);
    const [first = NaN, last = NaN] = ['First', 'Last'].map((which) =>
      Date.parse(header(letter, `Event-Failure-${which}-At`)),
    );
    assert.ok(first <= last, `failed first at ${first}, last at ${last}`);
    assert.ok(!Number.isNaN(Date.parse(header(letter, 'Event-Origin-Time'))));
    if (durable) {
      assertHeaders(letter, {
        'Event-Origin-Stream': receipt.stream,
        'Event-Origin-Sequence': String(receipt.sequence),
      });
      const place = `\\.${durableName('billing', 'Books.enter')}\\.${receipt.sequence}-\\d+\\.invoice\\.issued$`;
      assert.match(letter.subject, new RegExp(place));
    }
    assert.ok(
      !Object.keys(letter.headers).some((key) => /^nats-msg-id$/i.test(key)),
      "the original's id must not stay",
    );

    await billing.emit('invoice.issued', 'last');
    await handler.until((items) => items.some((item) => item.data === 'last'), 'the event after it');
    assert.equal(handler.items.length, 4);
    assert.equal((await harness.deadLetters(1)).length, 1);
  });

  test('an event whose handler throws a NonRetryableError is kept after the first attempt', async (harness) => {
    const billing = await harness.service('billing');
    const handler = await billing.collect('invoice.issued', { concurrency: 1 }, (data) => {
      if (data === 'poison') throw new NonRetryableError('will never work');
    });

    await billing.emitInOrder('invoice.issued', ['poison', 'last']);

    assert.deepEqual(dataOf(await handler.atLeast(2)), ['poison', 'last']);
    const letters = await harness.deadLetters(1);
    assert.equal(letters.length, 1);
    assertHeaders(letters[0], {
      'Event-Failure-Reason': 'non_retryable',
      'Event-Failure-Type': 'NonRetryableError',
      'Event-Failure-Message': 'will never work',
      'Event-Failure-Attempts': '1',
    });
  });

  test('a body that cannot be read is kept, byte for byte, without running the handler', async (harness) => {
    const billing = await harness.service('billing');
    const handler = await billing.collect('invoice.issued', { concurrency: 1 });
    const bodies = [
      Buffer.of(0xff, 0xfe, 0x7b, 0x00, 0x0d, 0x0a),
      Buffer.from('{"number":'),
      Buffer.alloc(0),
    ];

    for (const [i, body] of bodies.entries()) {
      await billing.publishRaw('invoice.issued', { ...ATTRIBUTES, 'ce-id': `broken-${i}` }, body);
    }
    await billing.emit('invoice.issued', 'last');

    assert.deepEqual(dataOf(await handler.atLeast(1)), ['last']);
    const letters = await harness.deadLetters(bodies.length);
    assert.equal(letters.length, bodies.length);
    for (const [i, body] of bodies.entries()) {
      const letter = letters.find(({ headers }) => headers['ce-id'] === `broken-${i}`);
      assertHeaders(letter, { 'Event-Failure-Reason': 'undecodable', 'Event-Failure-Attempts': '1' });
      assert.deepEqual(Buffer.from(letter?.body ?? []), body);
    }
  });

  test('each failing handler leaves a dead letter of its own', async (harness) => {
    const billing = await harness.service('billing');
    const archive = await harness.service('archive');
    const fail = (): never => {
      throw new NonRetryableError('no');
    };
    await billing.on('invoice.issued', fail, { name: 'Books.enter' });
    await billing.on('invoice.*', fail, { name: 'Mail.send' });
    await archive.on('invoice.issued', fail, { name: 'Books.enter' });

    await billing.emit('invoice.issued', null);

    const letters = await harness.deadLetters(3);
    assert.deepEqual(letters.map((letter) => header(letter, 'Event-Origin-Durable')).sort(), [
      durableName('archive', 'Books.enter'),
      durableName('billing', 'Books.enter'),
      durableName('billing', 'Mail.send', 'invoice.*'),
    ]);
  });

  test('what an error says is made safe and kept short', async (harness) => {
    const billing = await harness.service('billing');
    await billing.on('invoice.issued', () => {
      throw new NonRetryableError(`first line\r\nEvent-Failure-Reason: forged\n${'Ünïcödé '.repeat(5000)}`);
    });

    await billing.emit('invoice.issued', 'the data');

    const [letter] = await harness.deadLetters(1);
    assertHeaders(letter, { 'Event-Failure-Reason': 'non_retryable' });
    assert.ok(letter);
    assert.match(header(letter, 'Event-Failure-Message'), /^first line/);
    const own = Object.entries(letter.headers).filter(([key]) => key.toLowerCase().startsWith('event-'));
    for (const [key, value] of own) assert.doesNotMatch(value, /[\r\n]/, key);
    const bytes = own.reduce(
      (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
      0,
    );
    assert.ok(bytes <= MAX_FAILURE_BYTES, `the failure takes ${bytes} bytes of headers`);
    assert.equal(Buffer.from(letter.body).toString(), '"the data"');
  });

  test('a large event is kept whole', async (harness) => {
    const billing = await harness.service('billing');
    const data = 'x'.repeat(999_998);
    await billing.on('invoice.issued', () => {
      throw new NonRetryableError('m'.repeat(10_000));
    });

    await billing.emit('invoice.issued', data);

    const [letter] = await harness.deadLetters(1);
    assert.ok(Buffer.from(letter?.body ?? []).equals(Buffer.from(JSON.stringify(data))));
  });
};

function header(letter: StoredDeadLetter, key: string): string {
  return (
    letter.headers[key] ??
    assert.fail(`the dead letter has no ${key}, but ${Object.keys(letter.headers).join(', ')}`)
  );
}

function assertHeaders(
  letter: StoredDeadLetter | undefined,
  expected: Readonly<Record<string, string | undefined>>,
): void {
  assert.ok(letter, 'there is no such dead letter');
  const actual = Object.fromEntries(Object.keys(expected).map((key) => [key, letter.headers[key]]));
  assert.deepEqual(actual, expected);
}
