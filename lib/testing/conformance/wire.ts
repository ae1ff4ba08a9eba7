import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { encodeAttribute } from '../../core/cloudevents';
import { EventsError } from '../../core/errors';
import { JsonCodec } from '../../core/json-codec';
import type { Chapter } from './chapter';
import { Collector } from './collector';
import { dataOf, sortedDataOf } from './numbers';

const TRACE = {
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'vendor=1',
};

/** What an event carries, from `emit` to the handler. */
export const wire: Chapter = (test, { maxPayload }) => {
  test('a handler receives what was emitted and who emitted it', async (harness) => {
    const shop = await harness.service('Web Shop');
    const received = await (await harness.service('mail')).collect('order.placed', { name: 'Mail.send' });
    const data = {
      text: 'Zoë 🚚 \u2028 \u0000 日本語 "\\',
      nested: { list: [1, -1.5, true, null, { deep: ['ß'] }] },
    };
    const headers = { 'x-tenant': 'Łódź ✓ 日本', 'X-Mixed-Case': 'a: b', ...TRACE };

    const receipt = await shop.emit('order.placed', data, {
      id: 'order-1',
      correlationId: 'case-1',
      causationId: 'cause-1',
      time: new Date('2026-01-02T03:04:05.678Z'),
      headers,
    });
    const [item] = await received.atLeast(1);

    assert.ok(item);
    assert.equal(receipt.id, 'order-1');
    assert.deepEqual(item.data, data);
    const { id, name, source, time, correlationId, causationId, attempt, subscription } = item.context;
    assert.deepEqual(
      { id, name, source, time, correlationId, causationId, attempt, subscription },
      {
        id: 'order-1',
        name: 'order.placed',
        source: 'Web-Shop',
        time: new Date('2026-01-02T03:04:05.678Z'),
        correlationId: 'case-1',
        causationId: 'cause-1',
        attempt: 1,
        subscription: 'Mail.send',
      },
    );
    assert.deepEqual({ ...item.context.headers }, headers);
  });

  test('an event without options has an id, a time, and itself as its correlation', async (harness) => {
    const shop = await harness.service('shop');
    const received = await shop.collect('order.placed');
    const before = Date.now();

    const { id } = await shop.emit('order.placed', null);
    const [item] = await received.atLeast(1);

    assert.ok(item);
    assert.equal(item.context.id, id);
    assert.equal(item.context.correlationId, id);
    assert.equal(item.context.causationId, undefined);
    assert.ok(item.context.time.getTime() >= before && item.context.time.getTime() <= Date.now());
    assert.deepEqual({ ...item.context.headers }, {});
  });

  test('ids arrive as they were, whatever they consist of', async (harness) => {
    const shop = await harness.service('shop');
    const received = await shop.collect('order.placed', { concurrency: 1 });
    const ids = [
      'with space',
      '100% sure',
      '%41%',
      '"quoted"',
      'Ünï/çødé?ü=🚚',
      'a:b#c,d;e',
      '-',
      'x'.repeat(256),
    ];

    for (const id of ids)
      await shop.emit('order.placed', null, { id, correlationId: `c ${id}`.slice(0, 256), causationId: id });

    const contexts = (await received.atLeast(ids.length)).map(({ context }) => context);
    assert.deepEqual(
      contexts.map((context) => context.id),
      ids,
    );
    assert.deepEqual(
      contexts.map((context) => context.causationId),
      ids,
    );
    assert.deepEqual(
      contexts.map((context) => context.correlationId),
      ids.map((id) => `c ${id}`.slice(0, 256)),
    );
  });

  test('Dates arrive as Dates, and text that looks like one as text', async (harness) => {
    const shop = await harness.service('shop');
    const received = await shop.collect('order.placed');
    const time = new Date('2026-01-02T03:04:05.678Z');
    const data = {
      time,
      text: time.toISOString(),
      lines: [{ shipped: time }, { shipped: new Date(0) }],
      'key/with~signs': { ünïcödé: time },
    };

    await shop.emit('order.placed', data);
    await shop.emit('order.placed', time);

    const [nested, bare] = dataOf(await received.until(({ length }) => length === 2, 'both'));
    assert.deepEqual([nested, bare], nested instanceof Date ? [time, data] : [data, time]);
  });

  test('empty and falsy data arrives as it is', async (harness) => {
    const shop = await harness.service('shop');
    const received = await shop.collect('order.placed', { concurrency: 1 });
    const values = ['', {}, [], null, 0, false, ' '];

    await shop.emitInOrder('order.placed', values);

    assert.deepEqual(dataOf(await received.atLeast(values.length)), values);
  });

  test('a body of 1,000,000 bytes arrives whole', async (harness) => {
    const shop = await harness.service('shop');
    const received = await shop.collect('order.placed');
    const data = Array.from({ length: 999_998 }, (_, i) => String.fromCharCode(97 + (i % 26))).join('');

    await shop.emit('order.placed', data);

    const [arrived] = dataOf(await received.atLeast(1));
    assert.ok(arrived === data, 'the data is not what was emitted');
  });

  if (maxPayload !== undefined) {
    test('an event too large for the broker is refused, and nothing is sent', async (harness) => {
      const shop = await harness.service('shop');
      const received = await shop.collect('order.placed', { concurrency: 1 });

      for (const size of [maxPayload + 1, maxPayload, 2 * maxPayload]) {
        await assert.rejects(
          shop.emit('order.placed', 'x'.repeat(size)),
          (error) => error instanceof EventsError && error.code === 'payload_too_large' && !error.retryable,
        );
      }
      await assert.rejects(
        shop.emit('order.placed', 'x'.repeat(maxPayload - 10_000), {
          headers: { 'x-large': 'x'.repeat(12_000) },
        }),
        (error) => error instanceof EventsError && error.code === 'payload_too_large',
      );
      await shop.emit('order.placed', 'last');

      assert.deepEqual(dataOf(await received.atLeast(1)), ['last']);
    });
  }

  test('what a handler emits inherits the correlation and the trace, and names its cause', async (harness) => {
    const [shop, payments, shipping] = await Promise.all(
      ['shop', 'payments', 'shipping'].map((app) => harness.service(app)),
    );
    assert.ok(shop && payments && shipping);
    await payments.on('order.placed', () => payments.emit('payment.taken', null));
    await shipping.on('payment.taken', () => shipping.emit('parcel.sent', null, { correlationId: 'given' }));
    const chain = await shop.collect('>', { concurrency: 1 });

    const { id } = await shop.emit('order.placed', null, {
      correlationId: 'case-1',
      headers: { 'x-own': '1', ...TRACE },
    });

    const items = await chain.until(
      (all) => all.some(({ context }) => context.name === 'parcel.sent'),
      'the parcel',
    );
    const [placed, taken, sent] = items.map(({ context }) => context);
    assert.ok(placed && taken && sent);
    assert.deepEqual(
      items.map(({ context }) => context.name),
      ['order.placed', 'payment.taken', 'parcel.sent'],
    );
    assert.deepEqual(
      [placed, taken, sent].map((event) => event.correlationId),
      ['case-1', 'case-1', 'given'],
    );
    assert.deepEqual(
      [placed, taken, sent].map((event) => event.causationId),
      [undefined, id, taken.id],
    );
    assert.deepEqual({ ...taken.headers }, TRACE);
  });

  test('a handler does not run in the async context of whoever emitted', async (harness) => {
    const shop = await harness.service('shop');
    const context = new AsyncLocalStorage<string>();
    const seen = new Collector<string>('contexts of the handlers', String);
    await shop.on('order.placed', (_, { attempt }) => {
      seen.add(context.getStore() ?? 'none');
      if (attempt === 1) throw new Error('once more');
    });

    await context.run('that of the emitter', () => shop.emitInOrder('order.placed', [0, 1, 2]));

    assert.deepEqual(new Set(await seen.atLeast(6)), new Set(['none']));
  });

  test('an event of a foreign sender, without attributes, has one id at each attempt and the time it was stored', async (harness) => {
    const mail = await harness.service('mail');
    const before = Date.now();
    const received = await mail.collect('order.placed', { concurrency: 1 }, (data, { attempt }) => {
      if (attempt === 1) throw new Error('once more');
    });

    await mail.publishRaw('order.placed', { 'x-tenant': 'a' }, '{"number":1}');
    await received.atLeast(2);
    await mail.publishRaw('order.placed', {}, '{"number":2}');
    await received.atLeast(4);

    const contexts = received.items.map(({ context }) => context);
    assert.deepEqual(dataOf(received.items), [{ number: 1 }, { number: 1 }, { number: 2 }, { number: 2 }]);
    assert.equal(contexts[0]?.id, contexts[1]?.id);
    assert.equal(contexts[2]?.id, contexts[3]?.id);
    assert.notEqual(contexts[0]?.id, contexts[2]?.id);
    assert.notEqual(contexts[0]?.id, '');
    assert.equal(contexts[0]?.headers['x-tenant'], 'a');
    // Clocks of different machines, to a minute.
    assert.ok(Math.abs((contexts[0]?.time.getTime() ?? 0) - before) < 60_000, String(contexts[0]?.time));
  });

  test('attributes are read in whatever case they are written', async (harness) => {
    const mail = await harness.service('mail');
    const received = await mail.collect('order.placed');
    const data = { at: new Date('2026-01-02T03:04:05.678Z') };
    const { body, datePaths = '' } = new JsonCodec().encode(data);
    const headers = {
      'CE-SpecVersion': '1.0',
      'Ce-Id': 'order%201',
      'CE-SOURCE': 'elsewhere',
      'Ce-Datepaths': encodeAttribute(datePaths),
      Traceparent: TRACE.traceparent,
    };

    await mail.publishRaw('order.placed', headers, body);

    const [item] = await received.atLeast(1);
    assert.equal(item?.context.id, 'order 1');
    assert.equal(item.context.source, 'elsewhere');
    assert.equal(item.context.headers['traceparent'], TRACE.traceparent);
    assert.deepEqual(item.data, data);
  });

  test('events that others publish at the same time do not mix', async (harness) => {
    const shop = await harness.service('shop');
    const received = await shop.collect('order.placed');
    const sizes = Array.from({ length: 60 }, (_, i) => i * 997);

    await Promise.all(
      sizes.map((size) =>
        shop.emit('order.placed', size, {
          id: `order ${size}`,
          headers: { 'x-fill': 'é'.repeat(size % 3000) },
        }),
      ),
    );

    assert.deepEqual(sortedDataOf(await received.atLeast(sizes.length)), sizes);
    for (const { data, context } of received.items) {
      assert.equal(context.id, `order ${String(data)}`);
      assert.equal(context.headers['x-fill'], 'é'.repeat((data as number) % 3000));
    }
  });
};
