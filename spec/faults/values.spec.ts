import {
  defineEvent,
  EventsError,
  NonRetryableError,
  RetryAfterError,
  type EventService,
} from '@venta/events';
import { headers as natsHeaders } from 'nats';
import { JsonCodec } from '../../lib/core/json-codec';
import { eventually } from '../../lib/testing/conformance/collector';
import { onNats } from '../support/on-nats';

const nats = onNats();

/** A service on the server, and one in memory. */
const services: [string, (options?: object) => Promise<EventService>][] = [
  ['nats', (options = {}) => nats.service({ retry: { attempts: 0 }, ...options })],
  ['memory', (options = {}) => nats.service({ retry: { attempts: 0 }, url: 'memory://', ...options })],
];

const codeOf = (emitted: Promise<unknown>): Promise<unknown> =>
  emitted.then(
    () => 'stored',
    (error: unknown) => (error as { code?: unknown }).code,
  );

const letters = (
  service: EventService,
  count: number,
): Promise<Awaited<ReturnType<EventService['deadLetters']['list']>>['items']> =>
  eventually(
    async () => (await service.deadLetters.list()).items,
    (items) => items.length >= count,
    (items) => `there are ${items.length} of ${count} dead letters`,
  );

describe.each(services)('F64 ids (%s)', (_, start) => {
  it('with half of a surrogate pair are refused, and nothing is sent', async () => {
    const service = await start();
    const received = await nats.collect(service, 'order.placed');
    for (const half of ['\ud83d', '\ud83c', '\ude00', 'order-😀'.slice(0, 7)]) {
      expect(await codeOf(service.emit('order.placed', 1, { id: half }))).toBe('invalid_header');
      expect(await codeOf(service.emit('order.placed', 1, { correlationId: half }))).toBe('invalid_header');
      expect(await codeOf(service.emit('order.placed', 1, { causationId: half }))).toBe('invalid_header');
      expect(await codeOf(service.emitMany([{ name: 'order.placed', data: 1, options: { id: half } }]))).toBe(
        'invalid_header',
      );
    }
    await service.emit('order.placed', 2, { id: 'order-😀' });
    const [only] = await received.atLeast(1);
    expect([only?.data, only?.context.id]).toEqual([2, 'order-😀']);
  });
});

describe('F64 events of others', () => {
  const publish = async (name: string, id: string | undefined, body = '1'): Promise<void> => {
    const client = await nats.client();
    const header = natsHeaders();
    if (id !== undefined) {
      header.set('ce-specversion', '1.0');
      header.set('ce-id', id);
    }
    await client.jetstream().publish(nats.subject(name), body, { headers: header });
  };

  it('with ids that are long, or have control characters, stay different events with ids that are safe', async () => {
    const service = await nats.service();
    const received = await nats.collect(service, 'order.placed');
    const ids = [`${'x'.repeat(400)}1`, `${'x'.repeat(400)}2`, 'a%00', 'a%01', 'a%0D%0AERROR'];
    for (const id of ids) await publish('order.placed', id);
    const contexts = (await received.atLeast(ids.length)).map(({ context }) => context);
    expect(new Set(contexts.map(({ id }) => id)).size).toBe(ids.length);
    for (const { id, correlationId } of contexts) {
      expect(id).toMatch(/^[^\p{Cc}]{1,256}$/u);
      expect(correlationId).toBe(id);
    }
  });

  it('in another encoding than UTF-8 stay different', async () => {
    const service = await nats.service();
    const received = await nats.collect(service, 'order.placed');
    const socket = await nats.socket();
    for (const letter of ['\xe8', '\xe9']) {
      const block = Buffer.from(`NATS/1.0\r\nce-specversion: 1.0\r\nce-id: ordr${letter}\r\n\r\n`, 'latin1');
      socket.publish(nats.subject('order.placed'), '1', block);
    }
    const ids = (await received.atLeast(2)).map(({ context }) => context.id);
    expect(ids).toEqual(['ordrè', 'ordré']);
  });

  it('without an id have another one after the stream began anew, the same at each attempt and in the dead letter', async () => {
    const service = await nats.service({ retry: { attempts: 1, delay: 10 } });
    const received = await nats.collect(service, 'order.placed', () => {
      throw new Error('no');
    });
    await publish('order.placed', undefined);
    const [first, again] = (await received.atLeast(2)).map(({ context }) => context.id);
    expect(again).toBe(first);
    expect((await letters(service, 1))[0]).toMatchObject({ eventId: first, correlationId: first });

    const { streams } = await (await nats.client()).jetstreamManager();
    await streams.delete(nats.clusterId);
    await eventually(
      () =>
        streams.info(nats.clusterId).then(
          () => true,
          () => false,
        ),
      (there) => there,
      () => 'the stream is not there again',
    );
    await publish('order.placed', undefined);
    const after = await received.atLeast(3);
    expect(after[2]?.context.id).toMatch(new RegExp(`^${nats.clusterId}-1-\\d{13}$`));
    expect(after[2]?.context.id).not.toBe(first);
  });
});

const FORGED = 'gone\r\n2026-01-01 ERROR [Events] all is lost\u001b[31m\u2028\u009b';
const UNPRINTABLE = /(?!\n {4}at )[\p{Cc}\u2028\u2029]/u;

describe.each(services)('F62 messages with line breaks, escapes and megabytes (%s)', (_, start) => {
  it('are clean and bounded in each line of the log, each error, each problem and the dead letter', async () => {
    const service = await start();
    const huge = `${FORGED}${'x'.repeat(5_000_000)}`;
    const thrown: unknown[] = [
      new Error(huge),
      huge,
      { [FORGED]: huge },
      new NonRetryableError(huge),
      new Error('outer', { cause: new Error(huge) }),
      Object.assign(new Error('named'), { name: huge, code: FORGED }),
    ];
    await service.subscribe('order.placed', (n: unknown) => {
      throw thrown[n as number];
    });
    for (let n = 0; n < thrown.length; n++) await service.emit('order.placed', n);
    for (const { error } of await letters(service, thrown.length)) {
      expect(error.message).not.toMatch(UNPRINTABLE);
      expect(error.type).not.toMatch(UNPRINTABLE);
      expect(error.message.length + error.type.length).toBeLessThan(2048);
    }
    const refused = await Promise.all(
      [
        service.emit('order.placed', { [FORGED]: 1n }),
        service.emit(huge, 1),
        service.emit('order.placed', 1, { headers: { [huge]: '1' } }),
        service.emit('order.placed', 1, { headers: { a: huge } }),
        service.emitMany([{ name: 'order.placed', data: { [huge]: new Map() } }]),
        service.subscribe(huge, () => undefined),
        service.deadLetters.get(huge),
        service.deadLetters.list({ [huge]: 1 }),
      ].map((call: Promise<unknown>) =>
        call.then(
          () => '',
          (error: unknown) => (error as Error).message,
        ),
      ),
    );
    for (const message of refused) {
      expect(message).not.toBe('');
      expect(message).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
      expect(message.length).toBeLessThan(4100);
    }
    expect(nats.logger.entries.items.length).toBeGreaterThanOrEqual(thrown.length);
    for (const { message } of nats.logger.entries.items) {
      expect(message).not.toMatch(UNPRINTABLE);
      expect(message.length).toBeLessThanOrEqual(10_000);
    }
  });
});

describe.each(services)('F45 what handlers throw (%s)', (_, start) => {
  it('is told with its causes and codes in the log and in the dead letter', async () => {
    const service = await start();
    const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
    await service.subscribe('a.fetch', () =>
      fetch('http://127.0.0.1:9/', { signal: AbortSignal.timeout(5000) }),
    );
    await service.subscribe('a.any', () =>
      Promise.any([Promise.reject(new Error('bank 503')), Promise.reject(refused)]),
    );
    await service.subscribe('a.cause', () => {
      throw new NonRetryableError('cannot charge', { cause: new Error('card expired') });
    });
    for (const name of ['a.fetch', 'a.any', 'a.cause']) await service.emit(name, {});
    const told = Object.fromEntries((await letters(service, 3)).map(({ event, error }) => [event, error]));
    expect(told['a.fetch']).toMatchObject({
      type: 'TypeError',
      message: expect.stringMatching(/^fetch failed; caused by .+/) as string,
    });
    expect(told['a.any']).toMatchObject({
      type: 'AggregateError',
      message:
        'All promises were rejected; 1 of 2: Error: bank 503; 2 of 2: Error: connect (code ECONNREFUSED)',
    });
    expect(told['a.cause']).toMatchObject({
      type: 'NonRetryableError',
      message: 'cannot charge; caused by Error: card expired',
    });
    for (const { message } of Object.values(told)) expect(nats.logger.text).toContain(message);
  });
});

/** An event of another client. */
async function publishRaw(
  name: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<void> {
  const client = await nats.client();
  const block = natsHeaders();
  for (const [key, value] of Object.entries(headers)) block.set(key, value);
  await client.jetstream().publish(nats.subject(name), body, { headers: block });
}

describe('F49 events of other languages', () => {
  const STRUCTURED = 'application/cloudevents+json';
  const envelope = (more: object): string =>
    JSON.stringify({
      specversion: '1.0',
      id: 'ce 1%',
      source: '/shöp',
      type: 'order.placed',
      time: '2024-02-03T00:00:00Z',
      correlationid: 'case-1',
      ...more,
    });

  it('in structured mode are as in binary mode: attributes, data, Dates, base64, text', async () => {
    const service = await nats.service();
    const received = await nats.collect(service, 'order.>');
    const bodies: [string, string, string, unknown][] = [
      ['a', STRUCTURED, envelope({ data: { n: 1 } }), { n: 1 }],
      [
        'b',
        'Application/CloudEvents+JSON; charset=utf-8',
        envelope({ data: 'x', datacontenttype: 'text/plain' }),
        'x',
      ],
      ['c', STRUCTURED, envelope({ data_base64: Buffer.from('{"n":2}').toString('base64') }), { n: 2 }],
      ['d', STRUCTURED, envelope({ data_base64: 'aGVsbG8=', datacontenttype: 'text/plain' }), 'hello'],
      [
        'e',
        STRUCTURED,
        envelope({ data: { at: '2026-01-01T00:00:00.000Z' }, datepaths: '#/at' }),
        { at: new Date('2026-01-01') },
      ],
      ['f', STRUCTURED, envelope({}), null],
      ['g', 'text/plain', 'hello', 'hello'],
      ['h', 'text/plain; charset=utf-8', 'Grüße', 'Grüße'],
      ['i', 'application/vnd.order+json', '{"n":3}', { n: 3 }],
    ];
    for (const [name, type, body] of bodies)
      await publishRaw(`order.${name}`, body, { 'Content-Type': type });
    const events = await received.atLeast(bodies.length);
    expect(Object.fromEntries(events.map(({ data, context }) => [context.name.slice(6), data]))).toEqual(
      Object.fromEntries(bodies.map(([name, , , data]) => [name, data])),
    );
    const { context } = events.find((each) => each.context.name === 'order.a')!;
    expect(context).toMatchObject({
      id: 'ce 1%',
      source: '/shöp',
      correlationId: 'case-1',
      causationId: undefined,
      time: new Date('2024-02-03'),
    });
  });

  it('that cannot be read are dead letters with a reason, their attributes kept', async () => {
    const service = await nats.service();
    const received = await nats.collect(service, 'order.>');
    const bad: [string, string, string, RegExp][] = [
      ['batch', 'application/cloudevents-batch+json', `[${envelope({ data: 1 })}]`, /batch of CloudEvents/],
      ['avro', 'application/cloudevents+avro', 'x', /another format than JSON/],
      ['none', STRUCTURED, '{"data":1}', /specversion/],
      ['list', STRUCTURED, '[1]', /specversion/],
      ['broken', STRUCTURED, '{', /not JSON/],
      ['base64', STRUCTURED, envelope({ data_base64: '***' }), /base64/],
      ['latin', 'text/plain', Buffer.from('\xe9\xe8', 'latin1') as unknown as string, /UTF-8/],
    ];
    for (const [name, type, body] of bad) await publishRaw(`order.${name}`, body, { 'content-type': type });
    const found = Object.fromEntries(
      (await letters(service, bad.length)).map((letter) => [letter.event, letter]),
    );
    for (const [name, , body, why] of bad) {
      expect(found[`order.${name}`]).toMatchObject({
        reason: 'undecodable',
        error: { message: expect.stringMatching(why) as string },
      });
      expect(Buffer.from(found[`order.${name}`]!.body)).toEqual(Buffer.from(body));
    }
    expect(found['order.base64']!.eventId).toMatch(/^c/);
    expect(received.items).toEqual([]);
  });

  it('with long integers and no contract arrive exactly, as text, with one warning per event name', async () => {
    const service = await nats.service();
    const received = await nats.collect(service, 'order.>');
    const bodies: [string, string, string, unknown][] = [
      [
        'a',
        'application/json',
        '{"id":9007199254740993,"ok":9007199254740991,"dec":0.1234567890123456789}',
        { id: '9007199254740993', ok: 9007199254740991, dec: 0.12345678901234568 },
      ],
      ['a', 'application/json', '[-12345678901234567890]', ['-12345678901234567890']],
      ['b', 'application/json', ' 18446744073709551615 ', '18446744073709551615'],
      [
        'c',
        STRUCTURED,
        envelope({ data: { id: 1 } }).replace('"id":1', '"id":9007199254740993'),
        { id: '9007199254740993' },
      ],
      [
        'd',
        'application/json',
        '[9007199254740992,"9007199254740993"]',
        [9007199254740992, '9007199254740993'],
      ],
    ];
    for (const [name, type, body] of bodies)
      await publishRaw(`order.${name}`, body, { 'content-type': type });
    const events = await received.atLeast(bodies.length);
    const told = (rows: [string, unknown][]): string[] => rows.map((row) => JSON.stringify(row)).sort();
    expect(told(events.map(({ data, context }) => [context.name, data]))).toEqual(
      told(bodies.map(([name, , , data]) => [`order.${name}`, data])),
    );
    const warnings = nats.logger.entries.items.filter(({ message }) => message.includes('2^53'));
    expect(warnings.map(({ message }) => message.slice(0, 9)).sort()).toEqual([
      "'order.a'",
      "'order.b'",
      "'order.c'",
    ]);
  });

  it('with long integers reach a handler whose contract takes text there, and no other', async () => {
    const takes = (accepts: (id: unknown) => boolean): object => ({
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value: { id: unknown }) =>
          accepts(value.id) ? { value } : { issues: [{ message: 'no', path: ['id'] }] },
      },
    });
    const service = await nats.service({
      events: [
        defineEvent('order.text', { schema: takes((id) => typeof id === 'string') as never }),
        defineEvent('order.number', { schema: takes((id) => typeof id === 'number') as never }),
      ],
    });
    const received = await nats.collect(service, 'order.>');
    for (const name of ['order.text', 'order.number']) {
      await publishRaw(name, '{"id":9007199254740993}');
      await publishRaw(name, '{"id":"9007199254740993"}');
      await publishRaw(name, '{"id":9007199254740991}');
    }
    const dead = await letters(service, 3);
    expect(dead.map(({ event, reason }) => `${event} ${reason}`).sort()).toEqual([
      'order.number undecodable',
      'order.number validation',
      'order.text validation',
    ]);
    expect((await received.atLeast(3)).map(({ data }) => (data as { id: unknown }).id).sort()).toEqual(
      ['9007199254740993', '9007199254740993', 9007199254740991].sort(),
    );
  });
});

describe('F61 paths of Dates made to be slow', () => {
  const SIZE = 500_000;
  const codec = new JsonCodec();
  const shortest = (run: () => unknown): number => {
    let least = Infinity;
    for (let n = 0; n < 3; n++) {
      const began = performance.now();
      run();
      least = Math.min(least, performance.now() - began);
    }
    return least;
  };
  const many = (path: (n: number) => string): string => {
    let header = '';
    for (let n = 0; header.length < 4080; n++) header += `${header === '' ? '' : ','}#${path(n)}`;
    return header.slice(0, header.lastIndexOf(','));
  };

  it.each<[string, string, string]>([
    ['objects without the keys', `[${'{},'.repeat(SIZE / 3)}{}]`, many((n) => `/*/k${n}`)],
    ['few paths that are missing', `[${'{},'.repeat(SIZE / 3)}{}]`, '#/*/a,#/*/b,#/*/c,#/*/d,#/*/e'],
    ['one large array by many slots', `[${'1,'.repeat(SIZE / 2)}1]`, many((n) => `/${n}`)],
    [
      'one large object by many keys',
      `{${Array.from({ length: SIZE / 12 }, (_, n) => `"x${n}":1`).join()}}`,
      many((n) => `/k${n}`),
    ],
    [
      'star and slot at each level',
      `${'['.repeat(12)}${'"",'.repeat(SIZE / 3)}""${']'.repeat(12)}`,
      many((n) => [...n.toString(2).padStart(12, '0')].map((bit) => (bit === '1' ? '/*' : '/0')).join('')),
    ],
    [
      'star and slot of large arrays',
      `[${`[${'1,'.repeat(999)}1],`.repeat(SIZE / 2000)}1]`,
      many((n) => `/*/${n}`),
    ],
  ])('%s', (_, body, paths) => {
    const bytes = Buffer.from(body);
    const parsing = shortest(() => codec.parse(bytes));
    expect(shortest(() => codec.decode(bytes, paths)) - parsing).toBeLessThan(150 + 2 * parsing);
  });

  it('are none that emit writes, however rare the Dates in a list', () => {
    const at = new Date();
    const data = Array.from({ length: 3000 }, (_, n) => ({
      n,
      ...(n % 7 === 0 ? { [`at${n % 16}`]: at } : {}),
    }));
    const { body, datePaths } = codec.encode(data);
    expect(codec.decode(body, datePaths)).toEqual(data);
  });
});

describe.each(services)('F65 values (%s)', (_, start) => {
  const refusal = (emitted: Promise<unknown>): Promise<unknown> =>
    emitted.then(
      () => 'stored',
      (error: unknown) => error,
    );

  it('a Date under a key with half of a surrogate pair is refused with its path', async () => {
    const service = await start();
    expect(await refusal(service.emit('order.placed', { x: { ['\udc00']: new Date() } }))).toMatchObject({
      code: 'unserializable',
      path: '/x/\udc00',
      message: expect.stringContaining('/x/') as string,
    });
  });

  it('what hides that it is a built-in is refused with its path', async () => {
    const service = await start();
    const map = (): Map<number, number> => new Map([[1, 2]]);
    const disguised: object[] = [
      Object.setPrototypeOf(map(), null) as object,
      Object.setPrototypeOf(map(), Object.prototype) as object,
      Object.defineProperty(map(), Symbol.toStringTag, { value: 'Object' }),
      Object.setPrototypeOf(new Set([1]), null) as object,
      Object.assign(Object.setPrototypeOf(map(), null) as object, { a: 1 }),
      Object.setPrototypeOf(new Uint8Array(2), null) as object,
      Object.setPrototypeOf(Promise.resolve(1), null) as object,
      Math,
      Reflect,
    ];
    for (const value of disguised) {
      for (const more of [{}, { long: 'x'.repeat(2000) }]) {
        expect(await refusal(service.emit('order.placed', { a: [{ value }], ...more }))).toMatchObject({
          code: 'unserializable',
          path: '/a/0/value',
        });
      }
    }
    for (const value of [{}, Object.create(null) as object, [], new (class Empty {})(), { a: undefined }])
      await service.emit('order.placed', { value, long: 'x'.repeat(2000) });
  });
});

describe.each(services)('F78 emitMany and emit (%s)', (_, start) => {
  it('take any iterable of events, and refuse everything else with a sentence', async () => {
    const service = await start();
    const received = await nats.collect(service, 'order.placed');
    const event = (data: number): { name: string; data: number } => ({ name: 'order.placed', data });
    expect(await service.emitMany(new Set([event(1), event(2)]))).toHaveLength(2);
    expect(
      await service.emitMany(
        (function* () {
          yield event(3);
        })(),
      ),
    ).toHaveLength(1);
    expect(await service.emitMany([])).toEqual([]);
    await received.atLeast(3);
    for (const wrong of [5, {}, null, undefined, 'text', true, () => [], (async function* () {})()]) {
      for (const options of [{}, { atomic: true }]) {
        await expect(service.emitMany(wrong as never, options)).rejects.toMatchObject({
          code: 'invalid_configuration',
          message: expect.stringMatching(/emitMany takes/) as string,
        });
      }
    }
    await expect(service.emitMany([undefined, event(4)] as never)).rejects.toMatchObject({
      code: 'invalid_configuration',
      message: expect.stringMatching(/place 0/) as string,
    });
  });

  it('check their options as everything else does', async () => {
    const service = await start();
    for (const options of [
      { ids: 'x' },
      { correlationID: 'x' },
      null,
      'x',
      [],
      5,
      { headers: new Map() },
      { headers: [] },
      { headers: 'x' },
    ]) {
      await expect(service.emit('order.placed', 1, options as never)).rejects.toMatchObject({
        code: 'invalid_configuration',
      });
    }
    await expect(service.emit('order.placed', 1, { correlationID: 'x' } as never)).rejects.toThrow(
      /did you mean `emit.correlationId`/,
    );
    await service.emit('order.placed', 1, { id: undefined, headers: { a: 'b' } });
  });

  it('dead letters are sent back and discarded by an id or a filter, never by mistake', async () => {
    const service = await start();
    await service.subscribe('order.placed', () => {
      throw new NonRetryableError('no');
    });
    await service.emit('order.placed', { n: 1 });
    await letters(service, 1);
    for (const which of [
      undefined,
      null,
      5,
      [],
      new Set(),
      new Date(),
      true,
      { since: '2026' },
      { reason: 'x' },
      { app: 5 },
    ]) {
      for (const call of ['redrive', 'discard'] as const)
        await expect(service.deadLetters[call](which as never)).rejects.toMatchObject({
          code: 'invalid_configuration',
        });
    }
    await expect(service.deadLetters.redrive({}, { dryrun: true } as never)).rejects.toThrow(/dryRun/);
    await expect(service.deadLetters.redrive({}, { dryRun: 'yes' } as never)).rejects.toThrow(/dryRun/);
    const [letter] = await letters(service, 1);
    expect(JSON.parse(JSON.stringify(letter))).toMatchObject({
      event: 'order.placed',
      data: { n: 1 },
      error: { message: 'no' },
    });
  });
});

describe('errors as JSON', () => {
  it('keep message, code, fields and cause', () => {
    const error = new EventsError('no_stream', 'nobody took it', {
      cause: new TypeError('gone'),
      retryable: true,
    });
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      name: 'EventsError',
      code: 'no_stream',
      message: 'nobody took it',
      retryable: true,
      cause: 'TypeError: gone',
    });
    expect(JSON.parse(JSON.stringify(new RetryAfterError(5)))).toMatchObject({
      delay: 5,
      message: 'try again in 5 ms',
    });
  });
});
