import { ACK } from '../../../lib/core/settlement';
import type { MemoryTransport } from '../../../lib/transports/memory';
import { EPHEMERAL, Handler, retry, Setup } from './fixture';

describe('what a memory broker is busy with', () => {
  let setup: Setup;
  beforeEach(() => (setup = new Setup()));
  afterEach(() => setup.end());

  const busy = ({ broker }: MemoryTransport): string[] => broker.busy().map(({ handler }) => handler);

  it.each([
    ['durable', {}],
    ['ephemeral', EPHEMERAL],
  ])('is an event until its %s handler has settled it', async (_delivery, spec) => {
    const app = await setup.app();
    const handler = await Handler.holding(app, spec);
    expect(busy(app)).toEqual([]);
    await app.publish(setup.message('a'));
    expect(busy(app)).toEqual(['Mail.send']);
    await handler.received(1);
    expect(busy(app)).toEqual(['Mail.send']);
    handler.settle(retry(1000));
    await setup.clock.untilWaiting(1);
    expect(busy(app)).toEqual([]);
    setup.clock.advance(1000);
    expect(busy(app)).toEqual(['Mail.send']);
    await handler.received(2);
    handler.settle(ACK);
    await handler.subscription.stop(1000);
    expect(busy(app)).toEqual([]);
  });

  it('is no event of another name, and none that nobody takes at this moment', async () => {
    const app = await setup.app();
    const handler = await Handler.bound(app);
    await app.publish(setup.message('a'));
    await app.publish(setup.message('b', { name: 'order.paid' }));
    expect(busy(app)).toEqual([]);
    handler.subscription.limit(0);
    handler.subscription.start();
    expect(busy(app)).toEqual([]);
    handler.subscription.limit(1);
    expect(busy(app)).toEqual(['Mail.send']);
    await handler.received(1);
    await handler.subscription.stop(1000);
    expect(busy(app)).toEqual([]);
  });

  it('is told for all who share the broker', async () => {
    const app = await setup.app();
    const other = await setup.app({ clusterId: 'school' });
    const handler = await Handler.holding(app);
    await app.publish(setup.message('a'));
    await handler.received(1);
    expect(busy(other)).toEqual(['Mail.send']);
    handler.settle(ACK);
  });
});
