import type { DeadLetterStore, StoredDeadLetter } from '../../../lib/core/dead-letter-store';
import { ACK } from '../../../lib/core/settlement';
import type { MemoryTransport } from '../../../lib/transports/memory';
import { DEAD, EPHEMERAL, Handler, retry, Setup } from './fixture';

describe('the dead-letter store of a memory broker', () => {
  let setup: Setup;
  let app: MemoryTransport;
  let broken: boolean;
  beforeEach(async () => {
    setup = new Setup();
    app = await setup.app();
    broken = true;
  });
  afterEach(() => setup.end());

  const storeOf = (transport: MemoryTransport): DeadLetterStore => {
    if (transport.deadLetters === undefined) throw new Error('there is no store');
    return transport.deadLetters;
  };
  /** Dead as long as it is broken. */
  const failing = (transport = app): Promise<Handler> =>
    Handler.on(transport, {}, () => (broken ? DEAD : ACK));
  const publish = async (...texts: string[]): Promise<void> => {
    for (const text of texts) await app.publish(setup.message(text));
  };
  /** The dead letters, once the handler has been given so many events and settled them. */
  const lettersAfter = async (handler: Handler, deliveries: number): Promise<readonly StoredDeadLetter[]> => {
    await handler.received(deliveries);
    await new Promise((resolve) => setImmediate(resolve));
    return storeOf(app).scan({ limit: 1000 });
  };

  it('is there once the streams are', async () => {
    const ephemeral = await setup.app({ clusterId: 'new', delivery: 'ephemeral' });
    expect(ephemeral.deadLetters).toBeUndefined();
    const durable = await setup.app({ clusterId: 'new' });
    expect(ephemeral.deadLetters).toBeDefined();
    expect(await storeOf(durable).newest()).toBe(0);
  });

  it('reads on after an id, with bodies or without, whatever was removed', async () => {
    const handler = await failing();
    await publish('a', 'b', 'c', 'd');
    const all = await lettersAfter(handler, 4);
    expect(all.map(({ id, body }) => `${id} ${String(body)}`)).toEqual(['1 a', '2 b', '3 c', '4 d']);
    expect(all[0]?.storedAt).toBe(setup.clock.now());
    const store = storeOf(app);
    expect(await store.remove('2')).toBe(true);
    expect(await store.remove('2')).toBe(false);
    expect(await store.get('2')).toBeUndefined();
    expect((await store.scan({ after: '1', limit: 1 })).map(({ id }) => id)).toEqual(['3']);
    expect(await store.remove('1')).toBe(true);
    expect(await store.remove('4')).toBe(true);
    expect(await store.newest()).toBe(4);
    const [left, ...more] = await store.scan({ limit: 10, headersOnly: true });
    expect(more).toEqual([]);
    expect(left).toMatchObject({ id: '3', headers: { 'Event-Origin-Sequence': '3' } });
    expect(left?.body).toHaveLength(0);
    expect(String((await store.get('3'))?.body)).toBe('c');
  });

  it('gives an event back to its durable as it was, and says how often', async () => {
    const handler = await Handler.on(app, { patterns: ['order.*'] }, ({ attempt }) => {
      if (!broken) return ACK;
      return attempt < 3 ? retry(10) : DEAD;
    });
    const publishedAt = setup.clock.now();
    await app.publish(setup.message('a', { headers: { 'ce-id': '1', 'x-tenant': 'a' } }));
    for (const _ of [1, 2]) {
      await setup.clock.untilWaiting(1);
      setup.clock.advance(10);
    }
    const [letter] = await lettersAfter(handler, 3);
    broken = false;
    setup.clock.advance(1000);
    await storeOf(app).redrive(letter as StoredDeadLetter, 1);
    await handler.received(4);
    const { headers, ...delivery } = handler.deliveries[3] ?? { headers: {} };
    expect(delivery).toEqual({
      subject: 'shop.order.placed',
      name: 'order.placed',
      body: Buffer.from('a'),
      attempt: 1,
      storedAt: publishedAt,
      fallbackId: `shop-1-${publishedAt}`,
    });
    expect({ ...headers }).toEqual({
      'ce-id': '1',
      'x-tenant': 'a',
      'Event-Redrives': '1',
      'Event-Origin-Stream': 'shop',
      'Event-Origin-Sequence': '1',
      'Event-Origin-Subject': 'shop.order.placed',
      'Event-Origin-Time': new Date(publishedAt).toISOString(),
      'Event-Origin-Durable': 'mail__Mail-send',
      'Event-Origin-App': 'mail',
      'Event-Origin-Handler': 'Mail.send',
    });
  });

  it('stores what fails again under a subject of its own, with its first origin', async () => {
    const handler = await failing();
    await publish('a');
    const [first] = await lettersAfter(handler, 1);
    // At the same moment and with the first one still there: neither may hide the other.
    await storeOf(app).redrive(first as StoredDeadLetter, 1);
    const letters = await lettersAfter(handler, 2);
    expect(letters).toHaveLength(2);
    const [before, after] = letters.map(({ headers }) => ({ ...headers }));
    expect(after).toEqual({ ...before, 'Event-Redrives': '1' });
    const now = setup.clock.now();
    expect(app.broker.deadLetters('shop').map(({ subject }) => subject)).toEqual([
      `shop-dlq.mail__Mail-send.1-${now}.order.placed`,
      `shop-dlq.mail__Mail-send.1-${now}000000.order.placed`,
    ]);
    await storeOf(app).redrive(letters[1] as StoredDeadLetter, 2);
    expect((await lettersAfter(handler, 3))[2]?.headers['Event-Redrives']).toBe('2');
  });

  it('tries a redriven event again, at any instance, counting from 1', async () => {
    const handler = await Handler.on(app, {}, ({ attempt }) => (broken ? DEAD : retry(attempt * 1000)));
    await publish('a');
    const [letter] = await lettersAfter(handler, 1);
    broken = false;
    await storeOf(app).redrive(letter as StoredDeadLetter, 1);
    await handler.received(2);
    await setup.clock.untilWaiting(1);
    await handler.subscription.stop(0);
    const successor = await Handler.on(await setup.app());
    setup.clock.advance(1000);
    await successor.received(1);
    expect(handler.attempts).toEqual([1, 1]);
    expect(successor.attempts).toEqual([2]);
  });

  it('keeps what is redriven while nobody is subscribed', async () => {
    const handler = await failing();
    await publish('a');
    const [letter] = await lettersAfter(handler, 1);
    await handler.subscription.stop(0);
    const elsewhere = await setup.app();
    await storeOf(elsewhere).redrive(letter as StoredDeadLetter, 1);
    const successor = await Handler.bound(elsewhere, { patterns: ['order.placed', 'order.paid'] });
    const other = await Handler.on(app, { durable: 'other' });
    await publish('b');
    await other.received(1);
    expect(successor.texts).toEqual([]);
    successor.subscription.start();
    expect(await successor.received(2)).toEqual(['a', 'b']);
  });

  it('keeps redriven events to the concurrency and the limit of their handler', async () => {
    const handler = await failing();
    await publish('a', 'b', 'c');
    const letters = await lettersAfter(handler, 3);
    await handler.subscription.stop(0);
    const holding = await Handler.holding(app, { concurrency: 2 });
    for (const letter of letters) await storeOf(app).redrive(letter, 1);
    await publish('d');
    const other = await Handler.on(app, { durable: 'other' });
    await publish('e');
    await other.received(1);
    expect(holding.texts).toEqual(['a', 'b']);
    holding.subscription.limit(0);
    holding.settle(ACK);
    await publish('f');
    await other.received(2);
    expect(holding.texts).toEqual(['a', 'b']);
    holding.subscription.limit(Infinity);
    expect(await holding.received(3)).toEqual(['a', 'b', 'c']);
  });

  it('sends an event once for each number of redrives, within the duplicate window', async () => {
    const handler = await failing();
    await publish('a', 'b');
    const [a, b] = (await lettersAfter(handler, 2)) as [StoredDeadLetter, StoredDeadLetter];
    const store = storeOf(app);
    await Promise.all([store.redrive(a, 1), store.redrive(a, 1), storeOf(await setup.app()).redrive(a, 1)]);
    await store.redrive(b, 1);
    expect(await handler.received(4)).toEqual(['a', 'b', 'a', 'b']);
    await store.redrive(a, 2);
    await handler.received(5);
    setup.clock.advance(119_999);
    await store.redrive(a, 1);
    setup.clock.advance(1);
    await store.redrive(a, 1);
    expect(await handler.received(6)).toEqual(['a', 'b', 'a', 'b', 'a', 'a']);
    await store.redrive(b, 2);
    expect((await handler.received(7))[6]).toBe('b');
  });

  it('F66 keeps what no version takes for ten minutes, and gives it up then', async () => {
    const handler = await failing();
    await publish('a');
    const [letter] = await lettersAfter(handler, 1);
    await handler.subscription.stop(0);
    const old = await Handler.on(app, { patterns: ['order.paid'] });
    await storeOf(app).redrive(letter as StoredDeadLetter, 1);
    for (let seconds = 0; seconds < 10 * 60;) {
      await setup.clock.untilWaiting(1);
      const step = seconds < 10 ? 1 : 30;
      seconds += step;
      expect(await storeOf(app).scan({ limit: 10 })).toHaveLength(1);
      setup.clock.advance(step * 1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const [, again] = await storeOf(app).scan({ limit: 10 });
    expect(again?.headers).toMatchObject({ 'Event-Failure-Reason': 'no_handler', 'Event-Redrives': '1' });
    expect(old.deliveries).toEqual([]);
  });

  it('refuses what there is no durable for, naming it', async () => {
    await Handler.on(app, { broadcast: true, durable: 'everyone', handler: 'Cache.drop' }, () => DEAD);
    const listener = await Handler.on(
      app,
      { ...EPHEMERAL, durable: 'listener', handler: 'Screen' },
      () => DEAD,
    );
    await publish('a');
    await listener.received(1);
    const letters = await lettersAfter(listener, 1);
    expect(letters).toHaveLength(2);
    for (const letter of letters) {
      await expect(storeOf(app).redrive(letter, 1)).rejects.toMatchObject({
        code: 'no_handler',
        message: expect.stringMatching(/'(Cache.drop|Screen)' of 'mail'.*'(everyone|listener)'/) as string,
      });
    }
  });

  it('is closed with its transport', async () => {
    const handler = await failing();
    await publish('a');
    const [letter] = await lettersAfter(handler, 1);
    const leaving = await setup.app();
    const store = storeOf(leaving);
    await leaving.close();
    for (const call of [store.newest(), store.get('1'), store.redrive(letter as StoredDeadLetter, 1)])
      await expect(call).rejects.toMatchObject({ code: 'closed' });
  });

  it('leaves no retry of a redriven event behind when nobody uses the broker any more', async () => {
    const handler = await Handler.on(app, {}, () => (broken ? DEAD : retry(1000)));
    await publish('a');
    const [letter] = await lettersAfter(handler, 1);
    broken = false;
    await storeOf(app).redrive(letter as StoredDeadLetter, 1);
    await setup.clock.untilWaiting(1);
    await setup.end();
    expect(setup.clock.waiting).toBe(0);
  });

  it('makes room for others when a dead letter is removed', async () => {
    const small = await setup.app({ clusterId: 'small', stream: { maxMessages: 3 } });
    const handler = await Handler.on(small, {}, () => DEAD);
    const ids = (): string[] => small.broker.deadLetters('small').map(({ sequence }) => String(sequence));
    for (const text of ['a', 'b', 'c']) await small.publish(setup.message(text));
    await handler.received(3);
    await new Promise((resolve) => setImmediate(resolve));
    await storeOf(small).remove('2');
    await small.publish(setup.message('d'));
    await handler.received(4);
    await new Promise((resolve) => setImmediate(resolve));
    expect(ids()).toEqual(['1', '3', '4']);
    await small.publish(setup.message('e'));
    await handler.received(5);
    await new Promise((resolve) => setImmediate(resolve));
    expect(ids()).toEqual(['3', '4', '5']);
  });
});

describe('the orphans of a memory broker', () => {
  let setup: Setup;
  beforeEach(() => (setup = new Setup()));
  afterEach(() => setup.end());

  it('are the durables of this service that no instance subscribes, with what waits for them', async () => {
    const app = await setup.app();
    const other = await setup.app();
    expect(await app.orphans()).toEqual([]);
    const kept = await Handler.on(other, { durable: 'mail__kept', handler: 'kept' });
    const removed = await Handler.on(app, {
      durable: 'mail__removed',
      handler: 'removed',
      startFrom: 'first',
    });
    const everyone = await Handler.on(app, { durable: 'mail__everyone', broadcast: true });
    const foreign = await Handler.on(other, { app: 'shop', durable: 'shop__own' });
    await app.publish(setup.message('a'));
    await removed.received(1);
    for (const handler of [removed, everyone, foreign]) await handler.subscription.stop(1000);
    await app.publish(setup.message('b'));
    await app.publish(setup.message('c'));
    await app.publish(setup.message('d', { name: 'order.paid' }));
    await kept.received(3);

    expect(await app.orphans()).toEqual([
      {
        durable: 'mail__removed',
        stream: 'shop',
        handler: 'removed',
        patterns: ['order.placed'],
        backlog: 2,
      },
    ]);
    await Handler.on(other, { durable: 'mail__removed', handler: 'removed' });
    expect(await app.orphans()).toEqual([]);
  });

  it('count what is held for a retry', async () => {
    const app = await setup.app();
    const handler = await Handler.on(app, {}, () => retry(1000));
    await app.publish(setup.message('a'));
    await setup.clock.untilWaiting(1);
    await handler.subscription.stop(0);
    expect(await app.orphans()).toMatchObject([{ durable: 'mail__Mail-send', backlog: 1 }]);
  });
});
