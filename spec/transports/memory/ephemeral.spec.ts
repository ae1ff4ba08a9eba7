import { ACK } from '../../../lib/core/settlement';
import { DEAD, EPHEMERAL, Handler, retry, Setup } from './fixture';

describe('an ephemeral subscription of a memory broker', () => {
  let setup: Setup;
  beforeEach(() => (setup = new Setup()));
  afterEach(() => setup.end());

  it('gets what is published, durably or not, from when it subscribed', async () => {
    const durable = await setup.app();
    const ephemeral = await setup.app({ delivery: 'ephemeral' });
    await durable.publish(setup.message('before'));
    const handler = await Handler.bound(ephemeral, { ...EPHEMERAL, startFrom: 'first' });
    await durable.publish(setup.message('stored', { messageId: 'one' }));
    await durable.publish(setup.message('stored', { messageId: 'one' }));
    await ephemeral.publish(setup.message('not'));
    handler.subscription.start();
    expect(await handler.received(3)).toEqual(['stored', 'stored', 'not']);
    const ids = handler.deliveries.map(({ fallbackId }) => fallbackId);
    expect(new Set(ids).size).toBe(3);
  });

  it('shares events with its group, and not with a broadcast', async () => {
    const app = await setup.app({ delivery: 'ephemeral' });
    const one = await Handler.on(app, EPHEMERAL);
    const other = await Handler.on(app, EPHEMERAL);
    const everyone = await Handler.on(app, { ...EPHEMERAL, broadcast: true });
    for (const text of ['a', 'b', 'c', 'd']) await app.publish(setup.message(text));
    expect(await everyone.received(4)).toEqual(['a', 'b', 'c', 'd']);
    await Promise.all([one.received(2), other.received(2)]);
    expect([...one.texts, ...other.texts].sort()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('tries again in the process, counting', async () => {
    const app = await setup.app({ delivery: 'ephemeral' });
    const handler = await Handler.on(app, EPHEMERAL, ({ attempt }) => (attempt < 3 ? retry(100) : ACK));
    await app.publish(setup.message('a'));
    for (const waiting of [1, 1]) {
      await setup.clock.untilWaiting(waiting);
      setup.clock.advance(100);
    }
    expect(await handler.received(3)).toEqual(['a', 'a', 'a']);
    expect(handler.attempts).toEqual([1, 2, 3]);
    expect(new Set(handler.deliveries.map(({ fallbackId }) => fallbackId)).size).toBe(1);
  });

  it('leaves a dead letter where there is a stream for it', async () => {
    const app = await setup.app();
    const handler = await Handler.on(app, EPHEMERAL, () => DEAD);
    for (const text of ['a', 'b', 'last']) await app.publish(setup.message(text));
    await handler.received(3);
    await handler.subscription.stop(0);
    const letters = app.broker.deadLetters('shop');
    expect(letters.map(({ body }) => String(body))).toEqual(['a', 'b']);
    expect(letters[0]?.subject).toMatch(/^shop-dlq\.mail__Mail-send\.0-\d+\.order\.placed$/);
    expect(letters[0]?.headers).toMatchObject({
      'Event-Failure-Reason': 'non_retryable',
      'Event-Origin-Sequence': '0',
    });
  });

  it('says what is lost where there is none', async () => {
    const app = await setup.app({ delivery: 'ephemeral' });
    const handler = await Handler.on(app, EPHEMERAL, () => DEAD);
    await app.publish(setup.message('a'));
    await handler.received(1);
    await app.publish(setup.message('b'));
    await handler.received(2);
    expect(setup.log.errors[0]).toMatch(/'order.placed' is lost.*'Mail.send' of 'mail'.*no such account/);
  });

  it('takes a burst that is published at once, where handlers keep up', async () => {
    const app = await setup.app({ delivery: 'ephemeral' });
    const handler = await Handler.on(app, EPHEMERAL);
    await Promise.all(Array.from({ length: 5000 }, (_, i) => app.publish(setup.message(String(i)))));
    expect(await handler.received(5000)).toEqual(Array.from({ length: 5000 }, (_, i) => String(i)));
    expect(setup.log.warnings).toEqual([]);
  });

  it('drops the newest beyond its buffer, warns once a burst, and shows it until it has caught up', async () => {
    const app = await setup.app({ delivery: 'ephemeral' });
    const slow = await Handler.bound(app, EPHEMERAL);
    const witness = await Handler.on(app, { ...EPHEMERAL, durable: 'witness' });
    for (let i = 0; i < 1002; i++) await app.publish(setup.message(String(i)));
    await witness.received(1002);
    expect(app.status().problems).toEqual([expect.stringMatching(/'Mail.send'.* 2 dropped/)]);
    expect(setup.log.warnings).toHaveLength(1);

    slow.subscription.start();
    const texts = await slow.received(1000);
    expect([texts[0], texts[999]]).toEqual(['0', '999']);
    expect(app.status().problems).toEqual([]);
    await app.publish(setup.message('after'));
    expect((await slow.received(1001))[1000]).toBe('after');
  });

  it('leaves what it has not handled to its group, or says how much is lost', async () => {
    const app = await setup.app({ delivery: 'ephemeral' });
    const leaving = await Handler.holding(app, EPHEMERAL);
    for (const text of ['a', 'b', 'c']) await app.publish(setup.message(text));
    await leaving.received(1);
    leaving.settle(retry(1000));
    await leaving.received(2);
    const staying = await Handler.bound(app, EPHEMERAL);
    await leaving.subscription.stop(0);
    expect(setup.log.warnings).toEqual([]);
    expect(setup.clock.waiting).toBe(1);

    await staying.subscription.stop(0);
    expect(setup.log.warnings).toEqual([expect.stringMatching(/^3 events of .*'Mail.send'.* lost/)]);
    expect(setup.clock.waiting).toBe(0);
  });
});
