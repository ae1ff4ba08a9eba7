import {
  EventsError,
  EventSerializationError,
  type EventMiddleware,
  type EventService,
  type OutboundEvent,
} from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { onNats } from '../support/on-nats';

const MAX_PAYLOAD = 64 * 1024;
const nats = onNats({ maxPayload: MAX_PAYLOAD });

const INJECTION = 'a\r\nPUB injected 2\r\nhi';
/** Acknowledgements, and news of streams that can come late. */
const BY_THE_SERVER = /^(?:_INBOX\.|\$JS\.EVENT\.)/;
const CONTROL = /[\x00-\x1f\x7f]/;

/** What another client, that listens to everything, sees from here on. */
async function listener(): Promise<Collector<string>> {
  const seen = new Collector<string>('messages on the server');
  const client = await nats.client();
  client.subscribe('>', { callback: (_error, msg) => seen.add(msg.subject) });
  await client.flush();
  return seen;
}

/** Expects that nothing is sent by any of these emits, and that each of them is refused in this way. */
async function refused(
  service: EventService,
  emits: readonly (() => Promise<unknown>)[],
  expected: (error: EventsError) => void,
): Promise<void> {
  const seen = await listener();
  for (const emit of emits) {
    const error: unknown = await emit().then(
      () => 'it was accepted',
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(EventsError);
    expect((error as EventsError).message).not.toMatch(CONTROL);
    expect((error as EventsError).retryable).toBe(false);
    expected(error as EventsError);
  }
  await service.emit('marker', null);
  await seen.until((all) => all.includes(nats.subject('marker')), 'the marker');
  const sent = seen.items.filter((subject) => !BY_THE_SERVER.test(subject));
  expect(sent).toEqual([nats.subject('marker')]);
  expect(service.status).toMatchObject({ connected: true, problems: [] });
}

const code =
  (...codes: readonly string[]) =>
  (error: EventsError): void =>
    expect(codes).toContain(error.code);

describe('an event name', () => {
  it.each<[string, unknown]>([
    ['CR/LF', INJECTION],
    ['CR/LF at the end', 'a\r\n'],
    ['LF', 'a\nb'],
    ['CR', 'a\rb'],
    ['a space', 'a b'],
    ['a space in front', ' a'],
    ['a tab', 'a\tb'],
    ['NUL', 'a\0b'],
    ['*', 'user.*'],
    ['* in a token', 'us*er'],
    ['>', 'user.>'],
    ['> alone', '>'],
    ['nothing', ''],
    ['an empty token', 'a..b'],
    ['a leading dot', '.a'],
    ['a trailing dot', 'a.'],
    ['a dot alone', '.'],
    ['$', '$JS.API.STREAM.DELETE.x'],
    ['$ in a later token', 'a.$b'],
    ['a letter outside ASCII', 'größe'],
    ['a slash', 'a/b'],
    ['a colon', 'a:b'],
    ['201 characters', 'a'.repeat(201)],
    ['a number', 42],
    ['undefined', undefined],
    ['null', null],
    ['an object', { toString: () => 'a' }],
    ['a list', ['a']],
    ['a String object', Object('a')],
    ['a symbol', Symbol('a')],
  ])('with %s is refused, and nothing is sent', async (_title, name) => {
    const service = await nats.service();
    await refused(service, [() => service.emit(name as string, null)], code('invalid_event_name'));
  });

  it('of a middleware is held to the same rules', async () => {
    const names = [INJECTION, 'a b', 'a.*', '', 1, undefined];
    let name: unknown;
    const middleware: EventMiddleware = {
      publish: (event, next) => {
        if (event.name !== 'marker') (event as { name: unknown }).name = name;
        return next();
      },
    };
    const service = await nats.service({ middleware: [middleware] });
    const emits = names.map((each) => () => {
      name = each;
      return service.emit('a', null);
    });
    await refused(service, emits, code('invalid_event_name'));
  });

  it('of 200 characters is accepted', async () => {
    const service = await nats.service();
    await service.emit('a'.repeat(200), 1);
    expect(await nats.stored()).toMatchObject([{ subject: nats.subject('a'.repeat(200)) }]);
  });
});

describe('a header', () => {
  it.each<[string, Record<string, unknown>]>([
    ['a key with CR/LF', { 'a: b\r\nNats-Rollup': 'all' }],
    ['a key with LF', { 'a\nb': 'c' }],
    ['a key with NUL', { 'a\0': 'c' }],
    ['a key with a space', { 'a b': 'c' }],
    ['a key with a colon', { 'a:b': 'c' }],
    ['an empty key', { '': 'c' }],
    ['a key outside ASCII', { ä: 'c' }],
    ['a key of the server', { 'Nats-Msg-Id': 'c' }],
    ['a key of the server, in another case', { 'nATS-rollup': 'all' }],
    ['a key of CloudEvents', { 'ce-id': 'c' }],
    ['a key of CloudEvents, in another case', { 'CE-Anything': 'c' }],
    ['a key of dead letters', { 'Event-Failure-Reason': 'c' }],
    ['the content type', { 'Content-Type': 'text/plain' }],
    ['a value with CR/LF', { a: 'b\r\nNats-Rollup: all' }],
    ['a value that ends the headers', { a: `b\r\n\r\n${INJECTION}` }],
    ['a value with LF', { a: 'b\nc' }],
    ['a value with CR', { a: 'b\rc' }],
    ['a value with NUL', { a: 'b\0' }],
    ['a value that is a number', { a: 7 }],
    ['a value that is undefined', { a: undefined }],
    ['a value that is a list', { a: ['b'] }],
    ['a trace with CR/LF', { traceparent: '00\r\nNats-Rollup: all' }],
  ])('with %s is refused, and nothing is sent', async (_title, headers) => {
    const service = await nats.service();
    await refused(
      service,
      [() => service.emit('a', null, { headers: headers as Record<string, string> })],
      code('invalid_header'),
    );
  });

  it('of a middleware is held to the same rules', async () => {
    let change: (event: OutboundEvent) => void = () => {};
    const middleware: EventMiddleware = {
      publish: (event, next) => {
        if (event.name !== 'marker') change(event);
        return next();
      },
    };
    const service = await nats.service({ middleware: [middleware] });
    const changing = (by: typeof change) => (): Promise<unknown> => {
      change = by;
      return service.emit('a', null);
    };
    await refused(
      service,
      [
        changing(({ headers }) => (headers['a'] = 'b\r\nNats-Rollup: all')),
        changing(({ headers }) => (headers['a: b\r\nNats-Rollup'] = 'all')),
        changing(({ headers }) => (headers['Nats-Rollup'] = 'all')),
        changing(({ headers }) => (headers['Event-Failure-Reason'] = 'forged')),
        changing((event) => (event.correlationId = 'a\r\nNats-Rollup: all')),
      ],
      code('invalid_header'),
    );
  });

  it('makes the block too large to be read again: refused, and nothing is sent', async () => {
    const service = await nats.service();
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x-${i}`, '0123456789']));
    await refused(
      service,
      [
        () => service.emit('a', null, { headers: { 'x-large': 'x'.repeat(17 * 1024) } }),
        () => service.emit('a', null, { headers: many }),
      ],
      code('invalid_header', 'payload_too_large'),
    );
  });
});

describe.each(['id', 'correlationId', 'causationId'] as const)('the option %s', (option) => {
  it.each<[string, unknown]>([
    ['nothing', ''],
    ['257 characters', 'a'.repeat(257)],
    ['a number', 7],
    ['null', null],
    ['an object', {}],
  ])('with %s is refused, and nothing is sent', async (_title, value) => {
    const service = await nats.service();
    await refused(service, [() => service.emit('a', null, { [option]: value })], code('invalid_header'));
  });

  // Encoded, they would not inject anything, but CloudEvents has no such ids, and handlers see them without.
  it('with control characters is refused, and nothing is sent', async () => {
    const service = await nats.service();
    const values = [INJECTION, 'a\nb', 'a\rb', 'a\0b', 'a\tb', '\u001b[31mred', 'a\u007fb', 'a\u009bb'];
    await refused(
      service,
      values.map((value) => () => service.emit('a', null, { [option]: value })),
      code('invalid_header'),
    );
  });
});

it('a time that is none is refused by name, and nothing is sent', async () => {
  const service = await nats.service();
  await refused(
    service,
    [
      () => service.emit('a', null, { time: new Date(NaN) }),
      () => service.emit('a', null, { time: '2026-01-02' as unknown as Date }),
    ],
    () => {},
  );
});

describe('data', () => {
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;

  it.each<[string, unknown, string]>([
    ['a bigint', { a: [{ b: 1n }] }, '/a/0/b'],
    ['a Map', { a: new Map([[1, 2]]) }, '/a'],
    ['a Set', { a: new Set([1]) }, '/a'],
    ['NaN', { 'a/b': NaN }, '/a~1b'],
    ['Infinity', [1, Infinity], '/1'],
    ['-Infinity', -Infinity, ''],
    ['an Invalid Date', { at: new Date(NaN) }, '/at'],
    ['a RegExp', { a: /x/ }, '/a'],
    ['an Error', { a: new Error('x') }, '/a'],
    ['a typed array', { a: new Uint8Array(2) }, '/a'],
    ['a Buffer', { a: Buffer.from('x') }, '/a'],
    ['a function', { a: () => 1 }, '/a'],
    ['a symbol', { a: Symbol('x') }, '/a'],
    ['a cycle', cycle, '/self'],
    ['undefined as root', undefined, ''],
    ['undefined in a list', { a: [1, undefined] }, '/a/1'],
    ['a hole in a list', { a: new Array(1) }, '/a/0'],
    ['a promise', { a: Promise.resolve() }, '/a'],
  ])('with %s is refused, naming the place, and nothing is sent', async (_title, data, path) => {
    const service = await nats.service();
    await refused(service, [() => service.emit('a', data)], (error) => {
      expect(error.code).toBe('unserializable');
      expect(error).toBeInstanceOf(EventSerializationError);
      expect((error as EventSerializationError).path).toBe(path);
    });
  });

  it('with more paths of Dates than fit into a header is refused, and nothing is sent', async () => {
    const service = await nats.service();
    const dates = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`some-key-${i}`, new Date(0)]));
    await refused(service, [() => service.emit('a', dates)], code('unserializable'));
  });

  it('nested 100,000 levels deep is refused, and nothing is sent', async () => {
    const service = await nats.service();
    let data: unknown = 1;
    for (let level = 0; level < 100_000; level++) data = [data];
    await refused(service, [() => service.emit('a', data)], code('unserializable'));
  });

  it('over the server max_payload is refused, headers included, and nothing is sent', async () => {
    const service = await nats.service();
    await refused(
      service,
      [
        () => service.emit('a', 'x'.repeat(MAX_PAYLOAD)),
        () => service.emit('a', 'x'.repeat(10 * MAX_PAYLOAD)),
        // Two bytes a character.
        () => service.emit('a', 'é'.repeat(MAX_PAYLOAD / 2)),
        () => service.emit('a', 'x'.repeat(MAX_PAYLOAD - 11_000), { headers: { a: 'x'.repeat(10_000) } }),
      ],
      code('payload_too_large'),
    );
  });
});

describe('a pattern', () => {
  it.each<[string, unknown]>([
    ['> in the middle', 'foo.>.bar'],
    ['> in front', '>.foo'],
    ['* in a token', 'foo*'],
    ['> in a token', 'foo.b>'],
    ['**', 'foo.**'],
    ['CR/LF', 'foo.*\r\nSUB > 9'],
    ['a space, which would make a queue group', 'foo.* queue'],
    ['nothing', ''],
    ['an empty token', 'foo..*'],
    ['$', '$JS.>'],
    ['201 characters', `${'a'.repeat(199)}.*`],
    ['a number', 7],
  ])('with %s is refused, and nothing is subscribed', async (_title, pattern) => {
    for (const delivery of ['durable', 'ephemeral'] as const) {
      const service = await nats.service({ delivery });
      await expect(service.subscribe(pattern as string, () => {}, { name: 'h' })).rejects.toMatchObject({
        code: 'invalid_pattern',
        message: expect.stringContaining("handler 'h'") as string,
      });
      expect(service.status.subscriptions).toEqual([]);
    }
    const { consumers } = await (await nats.client()).jetstreamManager();
    expect(await consumers.list(nats.clusterId).next()).toEqual([]);
  });
});

it('an event that no stream captures is refused after the re-tries', async () => {
  const service = await nats.service({ publishTimeout: 600 });
  const { streams } = await (await nats.client()).jetstreamManager();
  await streams.delete(nats.clusterId);
  const before = Date.now();

  const error: unknown = await service.emit('a', null).catch((reason: unknown) => reason);

  expect(error).toMatchObject({ code: 'no_stream', retryable: true });
  expect((error as EventsError).message).toContain(nats.subject('a'));
  expect(Date.now() - before).toBeGreaterThanOrEqual(600 - 1);
});
