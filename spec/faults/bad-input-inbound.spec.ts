import { IsString } from 'class-validator';
import { defineEvent, NonRetryableError, type EventService } from '@venta/events';
import { eventually } from '../../lib/testing/conformance/collector';
import { onNats } from '../support/on-nats';
import { headerBlock } from '../support/raw-socket';

const nats = onNats();

const ATTRIBUTES = {
  'ce-specversion': '1.0',
  'ce-id': '1',
  'ce-source': 'elsewhere',
  'ce-type': 'order.placed',
} as const;
const GOOD = Buffer.from('{"good":true}');
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;
// A stack has lines.
const NOT_IN_A_LOG = /[\x00-\x09\x0b-\x1f\x7f-\x9f]/;

const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
const nestedObjects = (levels: number): string => '{"a":'.repeat(levels) + '1' + '}'.repeat(levels);

interface Message {
  readonly title: string;
  readonly body: string | Uint8Array;
  readonly block?: string | Uint8Array;
}

const BAD: readonly Message[] = [
  { title: 'an empty body', body: '' },
  { title: 'an empty body under attributes', body: '', block: headerBlock(ATTRIBUTES) },
  { title: 'a truncated body', body: '{"number":7,"to":"Zo' },
  { title: 'text', body: 'hello' },
  { title: 'two values', body: '1 2' },
  { title: 'white space', body: ' \r\n ' },
  { title: 'UTF-16', body: Buffer.from('\ufeff{"number":7}', 'utf16le') },
  { title: 'UTF-16 without a mark', body: Buffer.from('{"number":7}', 'utf16le') },
  { title: 'invalid UTF-8', body: Buffer.from([0x22, 0xc3, 0x28, 0x22]) },
  { title: 'Latin 1', body: Buffer.from('"Zoë"', 'latin1') },
  { title: 'binary', body: Buffer.from(Array.from({ length: 4096 }, (_, i) => i % 256)) },
  { title: 'lists nested 5,001 levels deep', body: nested(5001) },
  { title: 'lists nested 400,000 levels deep', body: nested(400_000) },
  { title: 'objects nested 5,001 levels deep', body: nestedObjects(5001) },
  {
    title: 'lists nested 5,001 levels deep, under attributes',
    body: nested(5001),
    block: headerBlock(ATTRIBUTES),
  },
  { title: 'a header without a colon', body: GOOD, block: 'NATS/1.0\r\nce-id\r\n\r\n' },
  { title: 'a header without a key', body: GOOD, block: 'NATS/1.0\r\n: 1\r\n\r\n' },
  { title: 'a header block that is none', body: GOOD, block: 'garbage' },
  { title: 'a header block of another version', body: GOOD, block: 'NATS/9.9\r\nce-id: 1\r\n\r\n' },
  {
    title: 'a header block of binary',
    body: GOOD,
    block: Buffer.from(Array.from({ length: 512 }, (_, i) => (i * 7) % 256)),
  },
  {
    title: 'one header of 17 KB',
    body: GOOD,
    block: headerBlock({ ...ATTRIBUTES, 'x-large': 'x'.repeat(17 * 1024) }),
  },
  // A stream takes no block over 64 KB.
  { title: '10,000 headers', body: GOOD, block: `NATS/1.0\r\n${'a: b\r\n'.repeat(10_000)}\r\n` },
];

/** Not well formed, but readable: becomes a dead letter or reaches the handler, as long as it comes to an end. */
const ODD: readonly (readonly [title: string, block: string | Uint8Array])[] = [
  ['a line feed in a header value', 'NATS/1.0\r\nx-a: b\nNats-Rollup: all\r\n\r\n'],
  ['a carriage return in a header value', 'NATS/1.0\r\nx-a: b\rc\r\n\r\n'],
  ['NUL in a header value', 'NATS/1.0\r\nx-a: b\0c\r\n\r\n'],
  ['a line feed in a header key', 'NATS/1.0\r\nx-\na: b\r\n\r\n'],
  ['a line feed in an attribute', headerBlock({ ...ATTRIBUTES, 'ce-correlationid': 'a\nb' })],
  ['a line feed in the trace', headerBlock({ ...ATTRIBUTES, traceparent: '00-a\nNats-Rollup: all' })],
  ['a header block that does not end', 'NATS/1.0\r\nx-a: b'],
  ['a header block headed like a status', 'NATS/1.0 503 No Responders\r\nx-a: b\r\n\r\n'],
  ['a header block headed like a heartbeat', 'NATS/1.0 100 Idle Heartbeat\r\n\r\n'],
  ['invalid UTF-8 in a header', Buffer.from('NATS/1.0\r\nx-a: \xff\xfe\xc3(\r\n\r\n', 'latin1')],
  ['a header outside ASCII', 'NATS/1.0\r\nschlüssel: ü\r\n\r\n'],
  ['a header called __proto__', 'NATS/1.0\r\n__proto__: polluted\r\nconstructor: a\r\n\r\n'],
  ['a repeated attribute', 'NATS/1.0\r\nce-id: 1\r\nce-id: 2\r\nCE-ID: 3\r\n\r\n'],
];

/** A service whose handler of `order.placed` fails for good, unless the data is the good one. */
async function listening(options: { delivery: 'durable' | 'ephemeral' }): Promise<{
  service: EventService;
  handled: unknown[];
  goodIsHandled: () => Promise<void>;
}> {
  // An ephemeral service dead-letters where a durable one has made the stream.
  if (options.delivery === 'ephemeral') await nats.service();
  const service = await nats.service({ ...options, appName: 'mail' });
  const received = await nats.collect(service, 'order.placed', async (data, context) => {
    if ((data as { good?: boolean } | null)?.good === true && context.id === 'last') return;
    // What a handler emits inherits from the event.
    await service.emit('order.seen', null);
    throw new NonRetryableError('not the last one');
  });
  const handled: unknown[] = [];
  return {
    service,
    handled,
    goodIsHandled: async () => {
      await service.emit('order.placed', { good: true }, { id: 'last' });
      const all = await received.until(
        (items) => items.some(({ context }) => context.id === 'last'),
        'the last',
      );
      handled.push(...all.filter(({ context }) => context.id !== 'last').map(({ data }) => data));
    },
  };
}

describe.each(['durable', 'ephemeral'] as const)('a %s handler', (delivery) => {
  it.each(BAD)(
    'never sees $title: it is dead-lettered as it was, and the next event is handled',
    async ({ body, block }) => {
      const { service, handled, goodIsHandled } = await listening({ delivery });
      const socket = await nats.socket();

      socket.publish(nats.subject('order.placed'), body, block);
      await socket.flush();
      const [letter] = await nats.deadLetters(1);
      await goodIsHandled();

      expect(letter!.headers).toMatchObject({
        'Event-Failure-Reason': 'undecodable',
        'Event-Origin-Subject': nats.subject('order.placed'),
      });
      expect(letter!.body.equals(Buffer.from(body))).toBe(true);
      expect(handled).toEqual([]);
      expect(service.status).toMatchObject({ connected: true, problems: [] });
      expect(await nats.deadLetters(1)).toHaveLength(1);
    },
  );

  it.each(ODD)('comes to an end with %s, and the next event is handled', async (_, block) => {
    const { service, handled, goodIsHandled } = await listening({ delivery });
    const socket = await nats.socket();

    socket.publish(nats.subject('order.placed'), GOOD, block);
    await socket.flush();
    const [letter] = await nats.deadLetters(1);
    await goodIsHandled();

    expect(letter!.body.equals(GOOD)).toBe(true);
    expect(['undecodable', 'non_retryable']).toContain(letter!.headers['Event-Failure-Reason']);
    expect(letter!.headers['Event-Failure-Attempts']).toBe('1');
    expect(handled).toEqual(
      letter!.headers['Event-Failure-Reason'] === 'undecodable' ? [] : [{ good: true }],
    );
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(service.status).toMatchObject({ connected: true, problems: [] });
    if (delivery === 'durable') await nats.settled('mail__order-placed');
  });
});

it('60,000 headers take no time: the client would parse them for a minute and a half', async () => {
  const { goodIsHandled } = await listening({ delivery: 'ephemeral' });
  const socket = await nats.socket();

  const before = Date.now();
  socket.publish(nats.subject('order.placed'), GOOD, `NATS/1.0\r\n${'a: b\r\n'.repeat(60_000)}\r\n`);
  await socket.flush();
  await goodIsHandled();

  expect(Date.now() - before).toBeLessThan(5000);
  expect((await nats.deadLetters(1))[0]!.headers['Event-Failure-Reason']).toBe('undecodable');
});

it.each(['durable', 'ephemeral'] as const)('a byte order mark is accepted (%s)', async (delivery) => {
  const service = await nats.service({ delivery });
  const received = await nats.collect(service, 'order.placed');
  const socket = await nats.socket();

  socket.publish(nats.subject('order.placed'), '\ufeff{"number":7}');
  socket.publish(nats.subject('order.placed'), '\ufeff{"number":8}', headerBlock(ATTRIBUTES));
  await socket.flush();

  expect((await received.atLeast(2)).map(({ data }) => data)).toEqual([{ number: 7 }, { number: 8 }]);
});

it('1,000 levels are as deep as data may be', async () => {
  const service = await nats.service();
  const received = await nats.collect(service, 'order.placed');
  const socket = await nats.socket();

  socket.publish(nats.subject('order.placed'), nested(1000));
  await socket.flush();

  expect(JSON.stringify((await received.atLeast(1))[0]!.data)).toBe(nested(1000));
});

describe('keys that could pollute', () => {
  const body =
    '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"text":"a","nested":{"__proto__":{"polluted":1}}}';

  class OrderPlaced {
    @IsString()
    text!: string;
  }

  it.each([
    ['without a contract', []],
    ['with a class as contract', [defineEvent('order.placed', { schema: OrderPlaced })]],
  ])('do not, %s', async (_title, events) => {
    const service = await nats.service({ events });
    const received = await nats.collect(service, 'order.placed', async (data) => {
      await service.emit('order.copied', data);
    });
    const socket = await nats.socket();

    socket.publish(nats.subject('order.placed'), body);
    socket.publish(
      nats.subject('order.placed'),
      body,
      headerBlock({ ...ATTRIBUTES, 'ce-datepaths': '#/__proto__/polluted,#/constructor/prototype/polluted' }),
    );
    await socket.flush();
    const items = await received.atLeast(2);
    await nats.settled('shop__order-placed');

    for (const { data } of items) {
      expect((data as { text: string }).text).toBe('a');
      expect((data as { polluted?: number }).polluted).toBeUndefined();
      expect(Object.keys(Object.prototype)).toEqual([]);
    }
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(service.status.subscriptions[0]).toMatchObject({ succeeded: 2, retried: 0, deadLettered: 0 });
  });
});

describe('ids from the wire', () => {
  const hostile = [
    ['10 KB', 'x'.repeat(10 * 1024)],
    ['10 KB, encoded', '%C3%A4'.repeat(1700)],
    ['encoded CR/LF', 'a%0D%0ANats-Rollup: all%0D%0A%0D%0Ab'],
    ['an encoded escape sequence', '%1B[31mred%1B[0m'],
    ['a raw escape sequence', '\u001b[31mred'],
    ['an encoded NUL', 'a%00b'],
    ['a control character of Latin 1', 'a%C2%9B31mb'],
    ['nothing but control characters', '%00%0A'],
    ['nothing in quotes', '""'],
    ['nothing', ''],
    ['surrogates cut in half', '\u{1f69a}'.repeat(300)],
  ] as const;

  it.each(hostile)(
    'with %s are bounded and cleaned, before they are logged or inherited',
    async (_, value) => {
      const service = await nats.service({ retry: { attempts: 1, delay: 10 } });
      const received = await nats.collect(service, 'order.placed', async () => {
        await service.emit('order.seen', null);
        throw new Error('on purpose');
      });
      const headers = {
        'ce-id': value,
        'ce-source': value,
        'ce-correlationid': value,
        'ce-causationid': value,
      };
      const socket = await nats.socket();

      // One by one, since all of them together would exceed the headers that are read.
      for (const [key, each] of Object.entries(headers)) {
        socket.publish(nats.subject('order.placed'), '1', headerBlock({ ...ATTRIBUTES, [key]: each }));
      }
      await socket.flush();
      await received.atLeast(8);
      await nats.deadLetters(4);

      for (const { context } of received.items) {
        for (const id of [context.id, context.source, context.correlationId, context.causationId ?? '']) {
          expect(id.length).toBeLessThanOrEqual(256);
          expect(id).not.toMatch(/\p{Cc}/u);
        }
      }
      for (const { message } of nats.logger.entries.items) {
        expect(message).not.toMatch(NOT_IN_A_LOG);
        expect(message.length).toBeLessThan(4096);
      }
      const inherited = (await nats.stored()).filter(({ subject }) => subject === nats.subject('order.seen'));
      expect(inherited).toHaveLength(8);
      for (const { headers: own } of inherited) {
        for (const id of [own['ce-correlationid'], own['ce-causationid']]) {
          expect(decodeURIComponent(id!).length).toBeLessThanOrEqual(256);
          expect(id).toMatch(/^[\x21-\x7e]+$/);
        }
      }
    },
  );
});

describe('a subject of another client', () => {
  it('with control characters is cleaned before it is logged', async () => {
    const service = await nats.service();
    await service.subscribe('order.*', () => {
      throw new NonRetryableError('on purpose');
    });
    const socket = await nats.socket();

    socket.publish(nats.subject('order.\u001b[31mred'), GOOD);
    await socket.flush();
    const [letter] = await nats.deadLetters(1);

    expect(letter!.body.equals(GOOD)).toBe(true);
    expect(letter!.headers['Event-Origin-Subject']).not.toMatch(CONTROL);
    for (const { message } of nats.logger.entries.items) expect(message).not.toMatch(NOT_IN_A_LOG);
  });

  it.each([300, 2000, 4050])(
    'of %d characters comes to an end, and the next event is handled',
    async (length) => {
      const service = await nats.service({ publishTimeout: 3000 });
      const received = await nats.collect(service, 'order.*', (data) => {
        if ((data as { good?: boolean }).good !== true) throw new NonRetryableError('on purpose');
      });
      const socket = await nats.socket();

      socket.publish(nats.subject(`order.${'x'.repeat(length)}`), '{}');
      await socket.flush();
      const [letter] = await nats.deadLetters(1);
      await service.emit('order.placed', { good: true });
      await received.until(
        (items) => items.some(({ context }) => context.name === 'order.placed'),
        'the next',
      );

      expect(letter!.headers['Event-Origin-Sequence']).toBe('1');
      await nats.settled('shop__order-any__order-any');
      expect(nats.logger.text).not.toContain('disconnected');
      await eventually(
        async () => service.status,
        ({ connected, problems }) => connected && problems.length === 0,
        ({ problems }) => `there are problems: ${problems.join('; ')}`,
      );
    },
  );
});
