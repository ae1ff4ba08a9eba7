import type { MemoryTransport } from '../../../lib/transports/memory';
import { ACK } from '../../../lib/core/settlement';
import { DEAD, Handler, retry, Setup } from './fixture';

describe('dead letters of a memory broker', () => {
  let setup: Setup;
  let app: MemoryTransport;
  beforeEach(async () => {
    setup = new Setup();
    app = await setup.app();
  });
  afterEach(() => setup.end());

  it('keep the event as it was, with its failure and its origin', async () => {
    const handler = await Handler.on(app, {}, ({ attempt, body }) => {
      if (String(body) === 'last') return ACK;
      return attempt < 3 ? retry(1000) : DEAD;
    });
    const body = Buffer.of(0xff, 0x00, 0x0d, 0x0a);
    const storedAt = setup.clock.now();
    await app.publish(setup.message('', { body, headers: { 'ce-id': '1', 'nats-msg-id': 'forged' } }));
    for (const attempt of [1, 2]) {
      await setup.clock.untilWaiting(1);
      setup.clock.advance(1000);
      await handler.received(attempt + 1);
    }
    await app.publish(setup.message('last'));
    await handler.received(4);

    const [letter, ...more] = app.broker.deadLetters('shop');
    expect(more).toEqual([]);
    expect(letter?.subject).toBe(`shop-dlq.mail__Mail-send.1-${storedAt}.order.placed`);
    expect(letter?.body).toEqual(body);
    expect(letter?.storedAt).toBe(setup.clock.now());
    expect({ ...letter?.headers }).toEqual({
      'ce-id': '1',
      'Event-Failure-Reason': 'non_retryable',
      'Event-Failure-Type': 'TypeError',
      'Event-Failure-Message': 'no such account',
      'Event-Failure-Attempts': '3',
      'Event-Failure-First-At': '2026-01-02T03:04:05.000Z',
      'Event-Failure-Last-At': '2026-01-02T03:04:07.000Z',
      'Event-Origin-Stream': 'shop',
      'Event-Origin-Sequence': '1',
      'Event-Origin-Subject': 'shop.order.placed',
      'Event-Origin-Time': '2026-01-02T03:04:05.000Z',
      'Event-Origin-Durable': 'mail__Mail-send',
      'Event-Origin-App': 'mail',
      'Event-Origin-Handler': 'Mail.send',
    });
  });

  it('end the delivery', async () => {
    const handler = await Handler.on(app, {}, ({ body }) => (String(body) === 'a' ? DEAD : ACK));
    await app.publish(setup.message('a'));
    await app.publish(setup.message('b'));
    await handler.received(2);
    await handler.subscription.stop(1000);
    const successor = await Handler.on(app);
    await app.publish(setup.message('c'));
    expect(await successor.received(1)).toEqual(['c']);
  });

  it('are one for each handler, and one for all instances of a broadcast', async () => {
    const everyone = { durable: 'c', broadcast: true };
    const handlers = await Promise.all(
      [{ durable: 'a' }, { durable: 'b' }, everyone, everyone].map((spec) =>
        Handler.on(app, spec, ({ body }) => (String(body) === 'last' ? ACK : DEAD)),
      ),
    );
    await app.publish(setup.message('a'));
    await app.publish(setup.message('last'));
    await Promise.all(handlers.map((handler) => handler.received(2)));
    const durables = app.broker.deadLetters('shop').map(({ headers }) => headers['Event-Origin-Durable']);
    expect(durables.sort()).toEqual(['a', 'b', 'c']);
  });

  it('are a problem to be seen for a minute', async () => {
    const handler = await Handler.on(app, {}, ({ body }) => (String(body) === 'last' ? ACK : DEAD));
    expect(app.status().problems).toEqual([]);
    for (const body of ['a', 'b', 'last']) await app.publish(setup.message(body));
    await handler.received(3);
    expect(app.status().problems).toEqual(['2 new dead letters in the cluster within the last minute']);

    setup.clock.advance(60_001);
    expect(app.status().problems).toEqual([]);
    await app.publish(setup.message('c'));
    await app.publish(setup.message('last'));
    await handler.received(5);
    expect(app.status().problems).toEqual(['1 new dead letters in the cluster within the last minute']);
  });
});
