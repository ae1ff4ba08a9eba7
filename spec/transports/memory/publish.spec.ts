import { createMemoryTransport } from '../../../lib/transports/memory';
import { Handler, Setup } from './fixture';

describe('publishing to a memory broker', () => {
  let setup: Setup;
  beforeEach(() => (setup = new Setup()));
  afterEach(() => setup.end());

  it('stores events in sequence and says where', async () => {
    const app = await setup.app();
    expect(await app.publish(setup.message('a'))).toEqual({ duplicate: false, stream: 'shop', sequence: 1 });
    expect(await app.publish(setup.message('b'))).toEqual({ duplicate: false, stream: 'shop', sequence: 2 });
    expect(app.broker.events('shop')).toMatchObject([
      { sequence: 1, subject: 'shop.order.placed', storedAt: setup.clock.now() },
      { sequence: 2 },
    ]);
  });

  it('recognises a message id inside the duplicate window and names the original', async () => {
    const app = await setup.app();
    await app.publish(setup.message('a', { messageId: 'one' }));
    await app.publish(setup.message('b'));
    setup.clock.advance(119_999);
    const again = await app.publish(setup.message('a', { messageId: 'one' }));
    expect(again).toEqual({ duplicate: true, stream: 'shop', sequence: 1 });
    setup.clock.advance(1);
    const later = await app.publish(setup.message('a', { messageId: 'one' }));
    expect(later).toEqual({ duplicate: false, stream: 'shop', sequence: 3 });
  });

  it('keeps clusters of one broker apart', async () => {
    const [shop, bank] = [await setup.app(), await setup.app({ clusterId: 'bank' })];
    const handler = await Handler.on(bank);
    await shop.publish(setup.message('of the shop', { messageId: 'one' }));
    await bank.publish(setup.message('of the bank', { messageId: 'one' }));
    expect(await handler.received(1)).toEqual(['of the bank']);
    expect(handler.deliveries[0]).toMatchObject({
      subject: 'bank.order.placed',
      fallbackId: expect.stringMatching(/^bank-1-\d+$/) as string,
    });
  });

  it('refuses what leaves no room for the headers of a dead letter', async () => {
    const app = await setup.app({ stream: { maxPayload: 10_000 } });
    const block = Buffer.byteLength('NATS/1.0\r\nX-Name: é\r\nNats-Msg-Id: 1\r\n\r\n');
    const publish = (messageId: string, size: number): Promise<unknown> =>
      app.publish(setup.message('', { messageId, headers: { 'X-Name': 'é' }, body: Buffer.alloc(size) }));
    const largest = 10_000 - 4096 - block;
    await publish('1', largest);
    await expect(publish('2', largest + 1)).rejects.toMatchObject({ code: 'payload_too_large' });
    expect(app.broker.events('shop')).toHaveLength(1);
  });

  it('delivers headers as they are read from a wire, and nobody can change them', async () => {
    const app = await setup.app();
    const handler = await Handler.on(app);
    const headers = { 'CE-Id': ' 1 ', 'X-Tenant': 'a' };
    await app.publish(setup.message('', { headers }));
    headers['X-Tenant'] = 'b';
    await handler.received(1);
    expect({ ...handler.deliveries[0]?.headers }).toEqual({ 'ce-id': '1', 'X-Tenant': 'a' });
    expect(Object.isFrozen(handler.deliveries[0]?.headers)).toBe(true);
  });

  // The async context that a handler runs in is the core's: spec/faults/event-scopes.spec.ts.
  it('never runs a consumer inside publish', async () => {
    const app = await setup.app();
    const handler = await Handler.on(app, {}, () => ({ kind: 'ack' }));
    await app.publish(setup.message('what start had woken is over with this one'));
    await handler.received(1);
    await app.publish(setup.message(''));
    expect(handler.deliveries).toHaveLength(1);
    await handler.received(2);
  });

  it('lets timers run while handlers keep one another busy', async () => {
    const app = await setup.app();
    let rounds = 0;
    let stop = false;
    const done = new Promise<void>((resolve) => {
      void Handler.on(app, {}, async () => {
        rounds++;
        if (stop) resolve();
        else await app.publish(setup.message(''));
        return { kind: 'ack' };
      });
    });
    await app.publish(setup.message(''));
    setTimeout(() => (stop = true), 1);
    await done;
    expect(rounds).toBeGreaterThan(0);
  });

  it('lets others run while a handler works off what is stored', async () => {
    const app = await setup.app();
    await Promise.all(Array.from({ length: 2000 }, () => app.publish(setup.message(''))));
    let between: number | undefined;
    const handler: Handler = await Handler.on(app, { startFrom: 'first' }, () => {
      if (handler.deliveries.length === 1) setImmediate(() => (between = handler.deliveries.length));
      return { kind: 'ack' };
    });
    await handler.received(2000);
    expect(between).toBeLessThan(2000);
  });

  it('stores what an ephemeral application publishes where a stream exists, without saying so', async () => {
    const ephemeral = await setup.app({ delivery: 'ephemeral' });
    expect(await ephemeral.publish(setup.message('before there is a stream'))).toEqual({ duplicate: false });
    const durable = await setup.app();
    expect(await ephemeral.publish(setup.message('stored', { messageId: 'one' }))).toEqual({
      duplicate: false,
    });
    expect(await ephemeral.publish(setup.message('again', { messageId: 'one' }))).toEqual({
      duplicate: false,
    });
    expect(durable.broker.events('shop').map(({ body }) => String(body))).toEqual(['stored']);
  });

  it('refuses before connect and after close', async () => {
    const app = createMemoryTransport({ clusterId: 'shop', delivery: 'durable', logger: setup.log });
    expect(app.status()).toEqual({ connected: false, problems: [] });
    await expect(app.publish(setup.message(''))).rejects.toMatchObject({ code: 'disconnected' });
    await app.connect();
    expect(app.status()).toEqual({ connected: true, problems: [] });
    await app.close();
    await app.close();
    expect(app.status()).toEqual({ connected: false, problems: [] });
    await expect(app.publish(setup.message(''))).rejects.toMatchObject({ code: 'closed' });
    await expect(Handler.on(app)).rejects.toMatchObject({ code: 'closed' });
    await expect(app.connect()).rejects.toMatchObject({ code: 'closed' });
  });
});
