import { NonRetryableError, type EventService } from '@venta/events';
import { headers as createHeaders } from 'nats';
import type { DeadLetterPage } from '../../lib/core/dead-letter-service';
import { Collector, eventually } from '../../lib/testing/conformance/collector';
import { onNats } from '../support/on-nats';
import { headerBlock } from '../support/raw-socket';

const nats = onNats();
const STACKED = { attempts: 0 } as const;

/** Gives up what it is given until it is mended. */
class Handler {
  mended = false;
  readonly calls: unknown[] = [];
  readonly handled = new Collector<unknown>('events that were handled');

  readonly handle = (data: unknown): void => {
    this.calls.push(data);
    if (!this.mended) throw new NonRetryableError('broken');
    this.handled.add(data);
  };

  static async on(service: EventService, pattern: string | string[] = 'pay.x'): Promise<Handler> {
    const handler = new Handler();
    await service.subscribe(pattern as string, handler.handle, { name: 'pay' });
    return handler;
  }
}

/** A dead letter, or what comes back from one, as anybody who may publish there can write it. */
async function forge(
  subject: string,
  headers: Record<string, string>,
  body = '{"forged":true}',
): Promise<void> {
  const socket = await nats.socket();
  socket.publish(subject, body, headerBlock(headers));
  await socket.flush();
}

const origin = (more: Record<string, string> = {}): Record<string, string> => ({
  'Event-Failure-Reason': 'attempts_exhausted',
  'Event-Origin-Stream': nats.clusterId,
  'Event-Origin-Subject': nats.subject('pay.x'),
  'Event-Origin-Durable': 'shop__pay',
  'Event-Origin-App': 'shop',
  'Event-Origin-Handler': 'pay',
  ...more,
});

const letters = (service: EventService, count: number): Promise<DeadLetterPage> =>
  eventually(
    () => service.deadLetters.list({ limit: 1000 }),
    ({ items }) => items.length === count,
    ({ items }) => `there are ${items.length} of ${count} dead letters`,
  );

const drained = (): Promise<unknown> =>
  eventually(
    () => nats.stored(`${nats.clusterId}-retry`),
    (left) => left.length === 0,
    (left) => `${left.length} messages are left in the retry stream`,
  );

const lostConnections = (): string[] =>
  nats.logger.entries.items.map(({ message }) => message).filter((text) => text.includes('disconnected'));

describe('text from the wire', () => {
  it.each([
    ['a space', 'pay x'],
    ['a tab', 'pay\tx'],
    ['an empty token', 'pay..x'],
    ['a dot at the end', 'pay.'],
    ['a wildcard', 'pay.*'],
    ['several commands', 'pay 0\u0085PUB x 0'],
  ])(
    'F58 with %s as an event name neither breaks the connection nor keeps a dead letter from being written',
    async (_what, name) => {
      const service = await nats.service({ publishTimeout: 3000 });
      // The only name of these that a handler can ask for.
      const isWildcard = name === 'pay.*';
      const place = isWildcard ? 'pay__pay-all' : 'pay';
      const handler = await Handler.on(service, isWildcard ? 'pay.>' : 'pay.x');

      await forge(
        `${nats.clusterId}-retry.shop.${place}`,
        origin({ 'Event-Origin-Subject': nats.subject(name) }),
      );
      await letters(service, 1);
      await drained();

      expect(handler.calls).toHaveLength(1);
      expect(lostConnections()).toEqual([]);
      await expect(service.emit('other.x', 1)).resolves.toMatchObject({ duplicate: false });
    },
  );

  it('F58 as the durable of a letter, or a subject of the retry stream with tokens too many, leads nowhere', async () => {
    const service = await nats.service();
    const handler = await Handler.on(service);
    for (const durable of [
      'shop__a b',
      'shop__a.b',
      'shop__*',
      'shop__>',
      '',
      'pay',
      `${'x'.repeat(5000)}__y`,
    ])
      await forge(
        `${nats.clusterId}-dlq.x.1-${durable.length}.y`,
        origin({ 'Event-Origin-Durable': durable }),
      );
    await forge(`${nats.clusterId}-dlq.x.1-1.z`, origin());
    handler.mended = true;

    const { redriven, refused } = await service.deadLetters.redrive({});

    expect(redriven).toEqual(['8']);
    expect(refused.map(({ error }) => error.code)).toEqual(Array(7).fill('no_handler'));
    for (const { error } of refused) expect(error.message.length).toBeLessThan(500);
    await handler.handled.atLeast(1);
    expect(lostConnections()).toEqual([]);
  });
});

describe('redriven events that cannot be what they say', () => {
  it('F59 without an origin become dead letters after their attempts, and keep nobody else waiting', async () => {
    const service = await nats.service({ retry: STACKED, publishTimeout: 1500 });
    let calls = 0;
    await nats.collect(
      service,
      'pay.x',
      (data) => {
        calls++;
        if ((data as { forged?: boolean }).forged) throw new Error('no');
      },
      { name: 'pay' },
    );
    const subjects: Record<string, string>[] = [
      {},
      { 'Event-Origin-Subject': '' },
      { 'Event-Origin-Subject': `${nats.clusterId}.` },
    ];
    for (let i = 0; i < 12; i++) await forge(`${nats.clusterId}-retry.shop.pay`, subjects[i % 3] ?? {});
    await forge(`${nats.clusterId}-retry.shop.pay`, origin(), '{}');

    const { items } = await letters(service, 12);
    await drained();

    expect(calls).toBe(13);
    expect(items.every((letter) => Buffer.from(letter.body).toString() === '{"forged":true}')).toBe(true);
    // Nobody knows which event it is.
    expect(await service.deadLetters.redrive({})).toMatchObject({ redriven: [], refused: { length: 12 } });
  });

  it('F59 run no more often than they may while dead letters cannot be written', async () => {
    const service = await nats.service({ retry: { attempts: 1, delay: 10 }, publishTimeout: 1000 });
    const failing = await nats.collect(service, 'pay.x', () => {
      throw new Error('no');
    });
    const { streams } = await (await nats.client()).jetstreamManager();
    const { config } = await streams.info(`${nats.clusterId}-dlq`);
    await streams.update(config.name, { ...config, max_msg_size: 10 });

    await service.emit('pay.x', 'x'.repeat(100));
    await eventually(
      () =>
        Promise.resolve(nats.logger.entries.items.filter(({ message }) => message.includes('could not be'))),
      (tries) => tries.length >= 1,
      () => 'it was not tried again',
    );
    await streams.update(config.name, config);
    await nats.deadLetters(1);

    expect(failing.items).toHaveLength(2);
  });
});

describe('a redrive of many', () => {
  it('F60 gets past what cannot be sent back, whatever the reason', async () => {
    const service = await nats.service();
    const handler = await Handler.on(service);
    const { streams } = await (await nats.client()).jetstreamManager();
    await service.emit('pay.x', 1);
    await letters(service, 1);
    await forge(`${nats.clusterId}-dlq.x.1-1.a`, origin({ 'Event-Origin-Durable': 'shop__a b' }));
    await forge(`${nats.clusterId}-dlq.x.1-2.a`, origin({ 'Event-Origin-Subject': 'a b' }));
    await forge(`${nats.clusterId}-dlq.x.1-3.a`, origin(), JSON.stringify('x'.repeat(5000)));
    await forge(`${nats.clusterId}-dlq.x.1-4.a`, {});
    await service.emit('pay.x', 2);
    await letters(service, 6);
    const { config } = await streams.info(`${nats.clusterId}-retry`);
    await streams.update(config.name, { ...config, max_msg_size: 3000 });
    handler.mended = true;

    const { redriven, refused, cursor } = await service.deadLetters.redrive({});

    expect(redriven).toEqual(['1', '6']);
    expect(refused.map(({ id, error }) => [id, error.code])).toEqual([
      ['2', 'no_handler'],
      ['3', 'no_handler'],
      ['4', 'publish_rejected'],
      ['5', 'no_handler'],
    ]);
    expect(cursor).toBeUndefined();
    await handler.handled.atLeast(2);
    expect((await service.deadLetters.list()).items.map(({ id }) => id)).toEqual(['2', '3', '4', '5']);
  });
});

describe('two versions of a service', () => {
  it('F66 a redriven event is given to the version that takes its name', async () => {
    const next = await nats.service();
    const handler = await Handler.on(next, 'job.new');
    for (let n = 0; n < 10; n++) await next.emit('job.new', n);
    await letters(next, 10);
    const old = await nats.service();
    const wrong = await nats.collect(old, 'job.old', undefined, { name: 'pay' });
    handler.mended = true;

    await next.deadLetters.redrive({}, { rate: 1000 });

    await handler.handled.atLeast(10);
    await drained();
    expect(wrong.items).toEqual([]);
    await letters(next, 0);
  });
});

describe('a dead-letter stream that began anew', () => {
  it('F67 has numbers that were used before: what is redriven is stored', async () => {
    const service = await nats.service();
    const handler = await Handler.on(service);
    const { streams } = await (await nats.client()).jetstreamManager();
    for (const round of ['a', 'b']) {
      handler.mended = false;
      for (let n = 0; n < 5; n++) await service.emit('pay.x', `${round}${n}`);
      await letters(service, 5);
      handler.mended = true;
      const { redriven } = await service.deadLetters.redrive({});
      expect(redriven).toEqual(['1', '2', '3', '4', '5']);
      await handler.handled.atLeast(round === 'a' ? 5 : 10);
      const { config } = await streams.info(`${nats.clusterId}-dlq`);
      await streams.delete(config.name);
      await streams.add(config);
    }
    expect([...handler.handled.items].sort()).toEqual(
      ['a', 'b'].flatMap((round) => [0, 1, 2, 3, 4].map((n) => `${round}${n}`)),
    );
  });

  it('F67 a duplicate that is nowhere is not taken for sent', async () => {
    const service = await nats.service();
    const handler = await Handler.on(service);
    await service.emit('pay.x', 1);
    const { items } = await letters(service, 1);
    await service.drain();
    const operator = await nats.service({ appName: 'operator' });
    const client = await nats.client();
    const { streams } = await client.jetstreamManager();
    const [stored] = await nats.deadLetters(1);
    // As a redrive that was killed before it removed the letter, whose message somebody has purged since.
    const headers = createHeaders();
    const storedAt = Number((stored?.storedAt ?? 0n) / 1_000_000n);
    headers.set('Nats-Msg-Id', `${items[0]?.id}-${storedAt}-1`);
    await client.jetstream().publish(`${nats.clusterId}-retry.shop.pay`, 'sent before', { headers });
    await streams.purge(`${nats.clusterId}-retry`);

    expect(await operator.deadLetters.redrive({})).toEqual({ redriven: ['1'], refused: [] });

    expect(await nats.stored(`${nats.clusterId}-retry`)).toHaveLength(1);
    expect(handler.calls).toHaveLength(1);
  });
});

describe('a dead letter that somebody else has written first', () => {
  it('F77 does not stand for the real one', async () => {
    const service = await nats.service({ retry: { attempts: 1, delay: 500, jitter: 0 } });
    const handler = await nats.collect(
      service,
      'pay.x',
      () => {
        throw new Error('real');
      },
      { name: 'pay' },
    );
    await service.emit('pay.x', { real: 1 });
    await handler.atLeast(1);
    const [event] = await nats.stored();
    const place = `${nats.clusterId}-dlq.shop__pay.1-${event?.storedAt}`;
    await forge(`${place}.pay.x`, {}, 'FORGED');
    // Even with the headers of the real one.
    await forge(`${place}-1.pay.x`, origin({ 'Event-Origin-Sequence': '1' }), 'FORGED');

    const { items } = await letters(service, 3);

    expect(items.map(({ body }) => Buffer.from(body).toString())).toEqual(['FORGED', 'FORGED', '{"real":1}']);
    expect(items[2]).toMatchObject({ app: 'shop', subscription: 'pay', attempts: 2, event: 'pay.x' });
    await nats.settled('shop__pay');
  });

  it('F77 the real one, written before a crash, is one', async () => {
    const service = await nats.service({ retry: STACKED });
    const failing = await nats.collect(
      service,
      'pay.x',
      () => {
        throw new Error('real');
      },
      { name: 'pay' },
    );
    await service.emit('pay.x', { real: 1 }, { headers: { 'x-tenant': ' Łódź ' } });
    const [letter] = await nats.deadLetters(1);
    await nats.settled('shop__pay');
    await service.drain();
    const { consumers } = await (await nats.client()).jetstreamManager();
    // The position of before: the event is delivered once more, as after a crash between the dead letter and its end.
    const { config } = await consumers.info(nats.clusterId, 'shop__pay');
    await consumers.delete(nats.clusterId, 'shop__pay');
    await consumers.add(nats.clusterId, { ...config, opt_start_seq: 1 });

    const again = await nats.service({ retry: STACKED });
    const once = await nats.collect(
      again,
      'pay.x',
      () => {
        throw new Error('real, in other words');
      },
      { name: 'pay' },
    );
    await once.atLeast(1);
    await nats.settled('shop__pay');

    expect(failing.items).toHaveLength(1);
    expect((await nats.deadLetters(1)).map(({ sequence }) => sequence)).toEqual([letter?.sequence]);
  });
});
