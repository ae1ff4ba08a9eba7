import { EventsConfigurationError } from '../../../lib/core/errors';
import { createMemoryTransport } from '../../../lib/transports/memory';
import { Handler, Setup } from './fixture';

const DAY = 24 * 60 * 60 * 1000;

describe('what a memory broker keeps', () => {
  let setup: Setup;
  beforeEach(() => (setup = new Setup()));
  afterEach(() => setup.end());

  it('drops events that are older than 7 days when the next one arrives', async () => {
    const app = await setup.app();
    await app.publish(setup.message('a'));
    setup.clock.advance(7 * DAY);
    await app.publish(setup.message('b'));
    expect(app.broker.events('shop')).toHaveLength(2);
    setup.clock.advance(1);
    await app.publish(setup.message('c'));
    expect(app.broker.events('shop').map(({ sequence }) => sequence)).toEqual([2, 3]);
    expect(setup.log.warnings).toEqual([]);
  });

  it('drops the oldest beyond its limits of messages and bytes', async () => {
    const few = await setup.app({ clusterId: 'few', stream: { maxMessages: 2 } });
    const small = await setup.app({ clusterId: 'small', stream: { maxBytes: 2500 } });
    for (const text of ['a', 'b', 'c']) {
      await few.publish(setup.message(text));
      await small.publish(setup.message('', { body: Buffer.alloc(1000) }));
    }
    expect(few.broker.events('few').map(({ sequence }) => sequence)).toEqual([2, 3]);
    expect(small.broker.events('small').map(({ sequence }) => sequence)).toEqual([2, 3]);
  });

  it('keeps what is settled, for those who come late', async () => {
    const app = await setup.app();
    const handler = await Handler.on(app);
    await app.publish(setup.message('a'));
    await handler.received(1);
    const late = await Handler.on(app, { durable: 'late', startFrom: 'first' });
    expect(await late.received(1)).toEqual(['a']);
  });

  it('warns when a limit drops an event that a durable had not settled, and goes on after it', async () => {
    const app = await setup.app({ stream: { maxMessages: 2 } });
    const handler = await Handler.bound(app);
    for (const text of ['a', 'b', 'c', 'd']) await app.publish(setup.message(text));
    expect(setup.log.warnings).toEqual([
      expect.stringMatching(/'shop'.*'order.placed' \(sequence 1\).*'mail__Mail-send'/),
    ]);
    handler.subscription.start();
    expect(await handler.received(2)).toEqual(['c', 'd']);
  });

  it('forgets the retry of an event that was dropped', async () => {
    const app = await setup.app({ stream: { maxMessages: 1 } });
    const handler = await Handler.on(app, {}, () => ({ kind: 'retry', delay: 100 }));
    await app.publish(setup.message('a'));
    await setup.clock.untilWaiting(1);
    await app.publish(setup.message('b'));
    await setup.clock.untilWaiting(2);
    setup.clock.advance(100);
    expect(await handler.received(3)).toEqual(['a', 'b', 'b']);
    expect(setup.log.warnings).toHaveLength(1);
  });

  it('refuses a limit that is no number above 0, by name', () => {
    const options = { clusterId: 'shop', delivery: 'durable', logger: setup.log } as const;
    const create = (): unknown => createMemoryTransport({ ...options, stream: { maxAge: 0 } });
    expect(create).toThrow(EventsConfigurationError);
    expect(create).toThrow('`stream.maxAge`');
  });
});
