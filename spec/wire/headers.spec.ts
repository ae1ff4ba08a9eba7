import { onNats } from '../support/on-nats';

const nats = onNats();

const UUID = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;
const TRACE = {
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7',
  baggage: 'userId=Am%C3%A9lie,serverNode=DF%2028;isProduction',
};

describe('an event on the wire', () => {
  it('has these headers and no others', async () => {
    const service = await nats.service({ appName: 'User Service' });

    await service.emit(
      'user.created',
      { at: new Date(0), name: 'Zoë' },
      {
        id: 'user 1',
        correlationId: 'case 1',
        causationId: 'cause 1',
        time: new Date('2026-01-02T03:04:05.678Z'),
        headers: { 'X-Tenant': '  Łódź: a, b  ', ...TRACE },
      },
    );
    const [message] = await nats.stored();

    expect(message!.subject).toBe(`${nats.clusterId}.user.created`);
    expect(Object.fromEntries(message!.headerLines)).toEqual({
      'X-Tenant': 'Łódź: a, b',
      ...TRACE,
      'ce-specversion': '1.0',
      'ce-id': 'user%201',
      'ce-source': 'User-Service',
      'ce-type': 'user.created',
      'ce-time': '2026-01-02T03:04:05.678Z',
      'ce-correlationid': 'case%201',
      'ce-causationid': 'cause%201',
      'ce-datepaths': '#/at',
      'content-type': 'application/json',
      'Nats-Msg-Id': 'user.created:User-Service:user%201',
    });
    expect(message!.headerLines).toHaveLength(14);
    expect(message!.body.toString('utf8')).toBe('{"at":"1970-01-01T00:00:00.000Z","name":"Zoë"}');
  });

  it('has the fewest headers when it is emitted without options', async () => {
    const service = await nats.service();

    const { id } = await service.emit('user.created', null);
    const [message] = await nats.stored();

    const { 'ce-time': time, ...headers } = message!.headers;
    expect(id).toMatch(UUID);
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(headers).toEqual({
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-source': 'shop',
      'ce-type': 'user.created',
      'ce-correlationid': id,
      'content-type': 'application/json',
      'Nats-Msg-Id': `user.created:shop:${id}`,
    });
    expect(message!.body.toString()).toBe('null');
  });

  it('is the same with ephemeral delivery', async () => {
    const service = await nats.service({ delivery: 'ephemeral' });
    const client = await nats.client();
    const subscription = client.subscribe(nats.subject('>'), { max: 1 });
    await client.flush();

    const receipt = await service.emit(
      'user.created',
      { at: new Date(0) },
      { id: 'user 1', time: new Date(0) },
    );

    const seen: unknown[] = [];
    for await (const { subject, headers, data, reply } of subscription) {
      const lines = [...(headers ?? [])].map(([key, values]) => [key.toLowerCase(), values.join()]);
      seen.push({
        subject,
        reply,
        headers: Object.fromEntries(lines) as object,
        body: Buffer.from(data).toString(),
      });
    }
    expect(receipt).toEqual({ id: 'user 1', duplicate: false });
    expect(seen).toEqual([
      {
        subject: nats.subject('user.created'),
        reply: '',
        headers: {
          'ce-specversion': '1.0',
          'ce-id': 'user%201',
          'ce-source': 'shop',
          'ce-type': 'user.created',
          'ce-time': '1970-01-01T00:00:00.000Z',
          'ce-correlationid': 'user%201',
          'ce-datepaths': '#/at',
          'content-type': 'application/json',
          'nats-msg-id': 'user.created:shop:user%201',
        },
        body: '{"at":"1970-01-01T00:00:00.000Z"}',
      },
    ]);
  });

  it('is a duplicate only if name, source and id are the same', async () => {
    const [shop, bank] = [await nats.service({ appName: 'shop' }), await nats.service({ appName: 'bank' })];

    const receipts = [
      await shop.emit('user.created', 1, { id: 'a:b' }),
      await bank.emit('user.created', 2, { id: 'a:b' }),
      await shop.emit('user.deleted', 3, { id: 'a:b' }),
      await shop.emit('user.created', 4, { id: 'a%3Ab' }),
      await shop.emit('user.created', 5, { id: 'a:b' }),
    ];

    expect(receipts.map(({ duplicate }) => duplicate)).toEqual([false, false, false, false, true]);
    expect(receipts[4]).toEqual({ id: 'a:b', duplicate: true, stream: nats.clusterId, sequence: 1 });
    expect((await nats.stored()).map(({ body }) => body.toString())).toEqual(['1', '2', '3', '4']);
  });
});

describe('a header of the user', () => {
  it.each([
    ['letters outside ASCII', 'Łódź 日本 🚚'],
    ['a tab', 'a\tb'],
    ['colons and commas', 'a: b, c: d'],
    ['a percent sign', '100%41'],
    ['quotes', '"a"'],
    ['a line separator', 'a\u2028b'],
    ['a control character of Latin 1', 'a\u0085b'],
    ['nothing', ''],
  ])('with %s arrives as it was, or is refused', async (_title, value) => {
    for (const delivery of ['durable', 'ephemeral'] as const) {
      const service = await nats.service({ delivery });
      const received = await nats.collect(service, 'user.created');
      const emitting = service.emit('user.created', null, { headers: { 'X-Own': value } });
      const refused = await emitting.then(
        () => undefined,
        (error: unknown) => error,
      );
      if (refused !== undefined) {
        expect(refused).toMatchObject({ code: 'invalid_header' });
        continue;
      }
      expect({ ...(await received.atLeast(1))[0]!.context.headers }).toEqual({ 'X-Own': value });
      await service.drain();
    }
  });
});

describe('the trace of an event', () => {
  it('arrives, and is inherited by what its handler emits', async () => {
    const shop = await nats.service({ appName: 'shop' });
    const bank = await nats.service({ appName: 'bank' });
    const placed = await nats.collect(bank, 'order.placed', async (_data, { id }) => {
      await bank.emit('payment.taken', null, { id: `inherits ${id}` });
      await bank.emit('payment.taken', null, {
        id: `overrides ${id}`,
        correlationId: 'own',
        causationId: 'own',
        headers: { traceparent: '00-own', 'x-own': '1' },
      });
    });

    await shop.emit('order.placed', null, {
      id: '1',
      correlationId: 'case',
      headers: { ...TRACE, 'x-tenant': 'a' },
    });
    await placed.atLeast(1);
    await nats.settled('bank__order-placed');

    expect({ ...placed.items[0]!.context.headers }).toEqual({ ...TRACE, 'x-tenant': 'a' });
    const [, inherits, overrides] = (await nats.stored()).map(({ headers }) => headers);
    expect(inherits).toMatchObject({ ...TRACE, 'ce-correlationid': 'case', 'ce-causationid': '1' });
    expect(inherits).not.toHaveProperty('x-tenant');
    expect(overrides).toMatchObject({
      ...TRACE,
      traceparent: '00-own',
      'x-own': '1',
      'ce-correlationid': 'own',
      'ce-causationid': 'own',
    });
  });
});
