import type { MemoryTransport } from '../../../lib/transports/memory';
import { DURABLE, Handler, retry, Setup } from './fixture';

describe('a durable of a memory broker', () => {
  let setup: Setup;
  let app: MemoryTransport;
  beforeEach(async () => {
    setup = new Setup();
    app = await setup.app();
  });
  afterEach(() => setup.end());

  const publish = async (...texts: string[]): Promise<void> => {
    for (const text of texts) await app.publish(setup.message(text));
  };

  it("starts from 'new' after what was stored when its application connected", async () => {
    await publish('before it connected');
    const late = await setup.app();
    await publish('after it connected');
    expect(await (await Handler.on(late)).received(1)).toEqual(['after it connected']);
  });

  it("starts from 'first' or from a moment", async () => {
    await publish('a');
    setup.clock.advance(1000);
    const moment = new Date(setup.clock.now());
    await publish('b');
    const first = await Handler.on(app, { durable: 'first', startFrom: 'first' });
    const since = await Handler.on(app, { durable: 'since', startFrom: moment });
    const future = await Handler.on(app, {
      durable: 'future',
      startFrom: new Date(moment.getTime() + 1),
    });
    await publish('c');
    expect(await first.received(3)).toEqual(['a', 'b', 'c']);
    expect(await since.received(2)).toEqual(['b', 'c']);
    expect(await future.received(1)).toEqual(['c']);
  });

  it('describes the delivery', async () => {
    const handler = await Handler.on(app, { patterns: ['order.*'] });
    await app.publish(setup.message('a', { headers: { 'x-tenant': 'a' } }));
    await handler.received(1);
    expect(handler.deliveries[0]).toMatchObject({
      subject: 'shop.order.placed',
      name: 'order.placed',
      headers: { 'x-tenant': 'a' },
      attempt: 1,
      storedAt: setup.clock.now(),
      fallbackId: `shop-1-${setup.clock.now()}`,
    });
  });

  it('delivers only what its patterns mean, in order', async () => {
    const handler = await Handler.on(app, { patterns: ['order.placed', 'order.paid'] });
    for (const name of ['order.placed', 'order.lost', 'order.paid', 'order', 'order.placed']) {
      await app.publish(setup.message(name, { name }));
    }
    expect(await handler.received(3)).toEqual(['order.placed', 'order.paid', 'order.placed']);
  });

  it('keeps what arrives until it is started', async () => {
    const handler = await Handler.bound(app);
    const other = await Handler.on(app, { durable: 'other' });
    await publish('a', 'b');
    await other.received(2);
    expect(handler.texts).toEqual([]);
    handler.subscription.start();
    handler.subscription.start();
    expect(await handler.received(2)).toEqual(['a', 'b']);
  });

  it('gives each event to one of its instances, in turn', async () => {
    const one = await Handler.on(app);
    const other = await Handler.on(await setup.app());
    for (const text of ['a', 'b', 'c', 'd']) {
      await publish(text);
      await Promise.race([one.received(one.texts.length + 1), other.received(other.texts.length + 1)]);
    }
    expect([one.texts, other.texts]).toEqual([
      ['a', 'c'],
      ['b', 'd'],
    ]);
  });

  it('passes over an instance that has no room', async () => {
    const busy = await Handler.holding(app);
    await publish('a');
    await busy.received(1);
    const free = await Handler.on(app);
    await publish('b', 'c', 'd');
    expect(await free.received(3)).toEqual(['b', 'c', 'd']);
    expect(busy.texts).toEqual(['a']);
  });

  it('has at most `concurrency` deliveries with the consumer at once', async () => {
    const handler = await Handler.holding(app, { concurrency: 2 });
    const other = await Handler.on(app, { durable: 'other' });
    await publish('a', 'b', 'c', 'd');
    await other.received(4);
    expect(await handler.received(2)).toEqual(['a', 'b']);
    handler.settle({ kind: 'ack' });
    expect(await handler.received(3)).toEqual(['a', 'b', 'c']);
    expect(handler.texts).toHaveLength(3);
  });

  it('has at most so many deliveries with the consumer as it is limited to', async () => {
    const handler = await Handler.holding(app, { concurrency: 3 });
    const other = await Handler.on(app, { durable: 'other' });
    handler.subscription.limit(0);
    await publish('a', 'b', 'c', 'd', 'e', 'f');
    await other.received(6);
    expect(handler.texts).toEqual([]);
    handler.subscription.limit(2);
    await publish('g');
    await other.received(7);
    expect(handler.texts).toEqual(['a', 'b']);
    handler.subscription.limit(100);
    await publish('h');
    await other.received(8);
    expect(handler.texts).toEqual(['a', 'b', 'c']);
    handler.subscription.limit(1);
    handler.settle({ kind: 'ack' });
    handler.settle({ kind: 'ack' });
    await publish('i');
    await other.received(9);
    expect(handler.texts).toEqual(['a', 'b', 'c']);
    handler.settle({ kind: 'ack' });
    expect(await handler.received(4)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('delivers again after the delay, counting, to any instance, while others go on', async () => {
    const leaving = await Handler.on(app, {}, ({ attempt }) => (attempt === 1 ? retry(1000) : retry(2000)));
    await publish('a');
    await setup.clock.untilWaiting(1);
    setup.clock.advance(999);
    const other = await Handler.on(app, { durable: 'other' });
    await publish('b');
    await other.received(1);
    await setup.clock.untilWaiting(2);
    expect(leaving.texts).toEqual(['a', 'b']);
    setup.clock.advance(1);
    await leaving.received(3);
    await setup.clock.untilWaiting(2);
    await leaving.subscription.stop(0);

    const successor = await Handler.on(await setup.app());
    setup.clock.advance(2000);
    expect((await successor.received(2)).sort()).toEqual(['a', 'b']);
    expect(leaving.texts).toEqual(['a', 'b', 'a']);
    expect(leaving.attempts).toEqual([1, 1, 2]);
    expect(successor.attempts.sort()).toEqual([2, 3]);
    expect(successor.deliveries.map(({ fallbackId }) => fallbackId).sort()).toEqual([
      expect.stringMatching(/^shop-1-\d{13}$/),
      expect.stringMatching(/^shop-2-\d{13}$/),
    ]);
  });

  it('waits as long as a timer can for a delay beyond that', async () => {
    const handler = await Handler.on(app, {}, () => retry(2 ** 40));
    await publish('a');
    await setup.clock.untilWaiting(1);
    setup.clock.advance(2 ** 31 - 1);
    expect(await handler.received(2)).toEqual(['a', 'a']);
  });

  it('keeps its position while nobody is subscribed, and does not look at startFrom again', async () => {
    const first = await Handler.on(app, { startFrom: 'first' });
    await publish('a');
    await first.received(1);
    await first.subscription.stop(1000);
    await publish('b');
    const second = await Handler.on(await setup.app(), { startFrom: 'first' });
    await publish('c');
    expect(await second.received(2)).toEqual(['b', 'c']);
    expect(first.texts).toEqual(['a']);
  });

  it('takes the patterns of the newest subscription', async () => {
    const old = await Handler.on(app);
    await old.subscription.stop(0);
    const handler = await Handler.on(app, { patterns: ['order.paid'] });
    await publish('placed');
    await app.publish(setup.message('paid', { name: 'order.paid' }));
    expect(await handler.received(1)).toEqual(['paid']);
  });

  it('refuses a handler whose durable belongs to another, naming both', async () => {
    await Handler.on(app);
    const refused = Handler.on(app, { app: 'mail!', handler: 'Mail_send' });
    await expect(refused).rejects.toMatchObject({
      code: 'duplicate_handler',
      message: expect.stringMatching(/'Mail.send' of 'mail'.*'Mail_send' of 'mail!'/) as string,
    });
  });

  it('tries again after a second when a consumer throws although it must settle', async () => {
    const handler = await Handler.on(app, {}, ({ attempt }) => {
      if (attempt === 1) throw new Error('a bug');
      return { kind: 'ack' };
    });
    await publish('a');
    await setup.clock.untilWaiting(1);
    setup.clock.advance(1000);
    expect(await handler.received(2)).toEqual(['a', 'a']);
    expect(setup.log.errors).toEqual([expect.stringMatching(/'Mail.send' of 'mail'.*Error: a bug/)]);
  });

  it('survives a consumer that throws before it returns a promise', async () => {
    let thrown = 0;
    const subscription = app.subscribe(DURABLE, () => {
      thrown++;
      throw new Error('a bug');
    });
    subscription.start();
    await publish('a');
    await setup.clock.untilWaiting(1);
    expect(thrown).toBe(1);
  });

  it('holds new events back while 50,000 wait for their retry', async () => {
    const handler = await Handler.on(app, { concurrency: 1000 }, () => retry(1000));
    await Promise.all(Array.from({ length: 50_001 }, (_, i) => app.publish(setup.message(String(i)))));
    await setup.clock.untilWaiting(50_000);
    const other = await Handler.on(app, { durable: 'other', startFrom: 'first', concurrency: 1000 });
    await other.received(50_001);
    expect(handler.deliveries).toHaveLength(50_000);
    await handler.subscription.stop(0);
  });
});
