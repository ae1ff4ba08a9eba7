import { ACK } from '../../../lib/core/settlement';
import type { MemoryTransport } from '../../../lib/transports/memory';
import { DEAD, Handler, retry, Setup } from './fixture';

describe('stopping a memory subscription', () => {
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

  it('delivers nothing new, and lets what runs finish', async () => {
    const leaving = await Handler.holding(app);
    await publish('a', 'b');
    await leaving.received(1);
    let stopped = false;
    const stopping = leaving.subscription.stop(10_000).then(() => (stopped = true));
    const successor = await Handler.on(app);
    expect(await successor.received(1)).toEqual(['b']);
    expect(stopped).toBe(false);
    leaving.settle(ACK);
    await stopping;

    await publish('c');
    expect(await successor.received(2)).toEqual(['b', 'c']);
    expect(leaving.texts).toEqual(['a']);
    expect(setup.clock.waiting).toBe(0);
  });

  it('hands back what outlives the timeout, counting, and ignores how it ends', async () => {
    const leaving = await Handler.holding(app, { concurrency: 2 });
    await publish('a', 'b');
    await leaving.received(2);
    const stopping = leaving.subscription.stop(500);
    setup.clock.advance(500);
    await stopping;
    leaving.settle(DEAD);
    leaving.settle(retry(0));

    const successor = await Handler.on(app);
    await publish('c');
    expect(await successor.received(3)).toEqual(['a', 'b', 'c']);
    expect(successor.attempts).toEqual([2, 2, 1]);
    expect(app.broker.deadLetters('shop')).toEqual([]);
    expect(setup.clock.waiting).toBe(0);
  });

  it('waits without a bound where it is given none', async () => {
    const leaving = await Handler.holding(app);
    await publish('a');
    await leaving.received(1);
    const stopping = leaving.subscription.stop(Infinity);
    expect(setup.clock.waiting).toBe(0);
    leaving.settle(ACK);
    await stopping;
    const successor = await Handler.on(app);
    await publish('b');
    expect(await successor.received(1)).toEqual(['b']);
  });

  it('hands back what fails for good meanwhile', async () => {
    const leaving = await Handler.holding(app);
    await publish('a');
    await leaving.received(1);
    const stopping = leaving.subscription.stop(500);
    leaving.settle(DEAD);
    await stopping;

    const successor = await Handler.on(app);
    expect(await successor.received(1)).toEqual(['a']);
    expect(successor.attempts).toEqual([2]);
    expect(app.broker.deadLetters('shop')).toEqual([]);
  });

  it('leaves what a paused subscription held back to others', async () => {
    const paused = await Handler.on(app);
    paused.subscription.limit(0);
    await publish('a');
    await paused.subscription.stop(1000);
    paused.subscription.limit(1);
    expect(await (await Handler.on(app)).received(1)).toEqual(['a']);
    expect(paused.texts).toEqual([]);
  });

  it('can be asked for again, and the earlier deadline holds', async () => {
    const handler = await Handler.holding(app);
    await publish('a');
    await handler.received(1);
    const patient = handler.subscription.stop(10_000);
    const hasty = handler.subscription.stop(100);
    const patientAgain = handler.subscription.stop(20_000);
    setup.clock.advance(100);
    await Promise.all([patient, hasty, patientAgain]);
    await handler.subscription.stop(100);
    handler.subscription.start();
    expect(setup.clock.waiting).toBe(0);
  });

  it('is done by close for whatever was not stopped, whatever still runs', async () => {
    const leaving = await setup.app();
    const handlers = [
      await Handler.holding(leaving),
      await Handler.holding(leaving, { durable: 'stopping' }),
      await Handler.holding(leaving, { durable: 'everyone', broadcast: true }),
      await Handler.holding(leaving, { durable: 'listener', delivery: 'ephemeral' }),
      await Handler.on(leaving, { durable: 'failing', broadcast: true }, () => retry(1000)),
    ];
    await publish('a');
    await Promise.all(handlers.map((handler) => handler.received(1)));
    await setup.clock.untilWaiting(1);
    const stopping = handlers[1]?.subscription.stop(10_000);
    await leaving.close();
    await stopping;
    expect(setup.clock.waiting).toBe(0);
    const successor = await Handler.on(app);
    expect(await successor.received(1)).toEqual(['a']);
  });

  it('cancels the retries of a broker that nobody uses any more', async () => {
    const handler = await Handler.on(app, {}, () => retry(1000));
    await publish('a');
    await handler.received(1);
    await setup.clock.untilWaiting(1);
    await app.close();
    expect(setup.clock.waiting).toBe(0);
  });
});
