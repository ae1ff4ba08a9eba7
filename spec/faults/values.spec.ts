import { NonRetryableError, type EventService } from '@venta/events';
import { headers as natsHeaders } from 'nats';
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
