import { ACK } from '../../../lib/core/settlement';
import type { MemoryTransport } from '../../../lib/transports/memory';
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

  it('holds a bounded number of events of a program that emits without a pause: it has to wait, and is told of drops', async () => {
    const app = await setup.app({ delivery: 'ephemeral' });
    const slow = await Handler.bound(app, EPHEMERAL);
    for (let i = 0; i < 20_000; i++) await app.publish(setup.message(String(i)));
    const [problem] = app.status().problems;
    const dropped = Number(/ (\d+) dropped/.exec(problem ?? '')?.[1]);
    // The buffer, and what is on its way to it.
    expect(20_000 - dropped).toBeLessThan(1000 + 1200);
    expect(setup.log.warnings).toHaveLength(1);

    slow.subscription.start();
    const texts = await slow.received(1000);
    expect([texts[0], texts[999]]).toEqual(['0', '999']);
  });

  it('lets those go who wait for room when it stops', async () => {
    const app = await setup.app({ delivery: 'ephemeral' });
    const slow = await Handler.bound(app, EPHEMERAL);
    const published = Promise.all(
      Array.from({ length: 2000 }, (_, i) => app.publish(setup.message(String(i)))),
    );
    await slow.subscription.stop(0);
    await published;
    expect(setup.log.warnings).toEqual([expect.stringMatching(/^2000 events of .*'Mail.send'.* lost/)]);
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

  describe('when it stops', () => {
    let app: MemoryTransport;
    beforeEach(async () => (app = await setup.app({ delivery: 'ephemeral' })));
    /** Publishes, and waits until everyone has it in the buffer. */
    const publish = async (...texts: string[]): Promise<void> => {
      const witness = await Handler.on(app, { ...EPHEMERAL, durable: 'witness' });
      for (const text of texts) await app.publish(setup.message(text));
      await witness.received(texts.length);
      await witness.subscription.stop(1000);
    };

    it('works off what it has received, if nobody else of its group can, and takes nothing new', async () => {
      const leaving = await Handler.holding(app, EPHEMERAL);
      await publish('a', 'b', 'c');
      let stopped = false;
      const stopping = leaving.subscription.stop(1000).then(() => (stopped = true));
      await publish('too late');
      for (const count of [1, 2, 3]) {
        await leaving.received(count);
        expect(stopped).toBe(false);
        leaving.settle(ACK);
      }
      await stopping;
      expect(leaving.texts).toEqual(['a', 'b', 'c']);
      expect(setup.log.warnings).toEqual([]);
      expect(setup.clock.waiting).toBe(0);
    });

    it('does so although it is paused', async () => {
      const leaving = await Handler.on(app, EPHEMERAL);
      leaving.subscription.limit(0);
      await publish('a', 'b');
      const stopping = leaving.subscription.stop(1000);
      leaving.subscription.limit(0);
      await stopping;
      expect(leaving.texts).toEqual(['a', 'b']);
      expect(setup.log.warnings).toEqual([]);
    });

    it('works off what was published just before', async () => {
      const leaving = await Handler.on(app, EPHEMERAL);
      await app.publish(setup.message('a'));
      await leaving.subscription.stop(1000);
      expect(leaving.texts).toEqual(['a']);
    });

    it('says what is left when its time is over, running, waiting or to be tried again', async () => {
      const leaving = await Handler.holding(app, { ...EPHEMERAL, concurrency: 2 });
      await publish('a', 'b', 'c', 'd', 'e');
      await leaving.received(2);
      leaving.settle(retry(5000));
      await leaving.received(3);
      const stopping = leaving.subscription.stop(1000);
      leaving.settle(ACK);
      await leaving.received(4);
      setup.clock.advance(1000);
      await stopping;
      expect(leaving.texts).toEqual(['a', 'b', 'c', 'd']);
      expect(setup.log.warnings).toEqual([expect.stringMatching(/^4 events of .*'Mail.send'.* lost/)]);
      expect(setup.clock.waiting).toBe(0);
    });

    it('leaves it to the others of its group, started or not', async () => {
      const leaving = await Handler.holding(app, EPHEMERAL);
      const staying = await Handler.bound(app, EPHEMERAL);
      await publish('a', 'b');
      await leaving.received(1);
      const stopping = leaving.subscription.stop(1000);
      leaving.settle(ACK);
      await stopping;
      staying.subscription.start();
      expect(await staying.received(1)).toEqual(['b']);
      expect(leaving.texts).toEqual(['a']);
    });

    it('is the task of one of those that stop together', async () => {
      const both = [await Handler.holding(app, EPHEMERAL), await Handler.holding(app, EPHEMERAL)];
      await publish('a', 'b', 'c', 'd');
      await Promise.all(both.map((handler) => handler.received(1)));
      const stopping = Promise.all(both.map((handler) => handler.subscription.stop(1000)));
      both[0]?.settle(ACK);
      for (const count of [1, 2, 3]) {
        await both[1]?.received(count);
        both[1]?.settle(ACK);
      }
      await stopping;
      expect(both.flatMap(({ texts }) => texts).sort()).toEqual(['a', 'b', 'c', 'd']);
      expect(both[0]?.texts).toHaveLength(1);
      expect(setup.log.warnings).toEqual([]);
    });

    it('makes room for a successor at once', async () => {
      const leaving = await Handler.holding(app, EPHEMERAL);
      await publish('a', 'b');
      const stopping = leaving.subscription.stop(1000);
      const successor = await Handler.on(app, EPHEMERAL);
      await app.publish(setup.message('c'));
      expect(await successor.received(1)).toEqual(['c']);
      for (const count of [1, 2]) {
        await leaving.received(count);
        leaving.settle(ACK);
      }
      await stopping;
      await app.publish(setup.message('d'));
      expect(await successor.received(2)).toEqual(['c', 'd']);
      expect(leaving.texts).toEqual(['a', 'b']);
    });

    it('keeps a dead letter of what fails for good meanwhile', async () => {
      const durable = await setup.app();
      const leaving = await Handler.holding(app, EPHEMERAL);
      await publish('a');
      await leaving.received(1);
      const stopping = leaving.subscription.stop(1000);
      leaving.settle(DEAD);
      await stopping;
      expect(durable.broker.deadLetters('shop')).toHaveLength(1);
      expect(setup.log.warnings).toEqual([]);
    });
  });
});
