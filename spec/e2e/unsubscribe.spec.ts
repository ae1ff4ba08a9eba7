import type { EventSubscription } from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { Gate } from '../../lib/testing/conformance/gate';
import { onNats } from '../support/on-nats';

const nats = onNats();

describe.each([
  ['memory', 'durable'],
  ['memory', 'ephemeral'],
  ['NATS', 'durable'],
  ['NATS', 'ephemeral'],
] as const)('unsubscribe on %s, %s,', (transport, delivery) => {
  const service = (): ReturnType<typeof nats.service> =>
    nats.service({
      ...(transport === 'memory' ? { url: 'memory://' } : {}),
      delivery,
      // Longer than anybody waits here.
      shutdownTimeout: 120_000,
    });

  it('resolves in the handlers that it would wait for', async () => {
    const events = await service();
    const what = new Collector<unknown>('what happened');
    const both = new Gate();
    const options = { name: 'once', concurrency: 2 };
    const subscription: EventSubscription = await events.subscribe(
      'job.done',
      async (data: unknown) => {
        what.add(['begins', data]);
        await both.opened;
        await subscription.unsubscribe();
        what.add(['ends', data]);
      },
      options,
    );
    await events.emit('job.done', 1);
    await events.emit('job.done', 2);
    await what.atLeast(2);
    both.open();
    await what.atLeast(4);
    expect(events.status.problems).toEqual([]);

    // Called from elsewhere it waits for the end; then the name is free.
    await subscription.unsubscribe();
    const again = await nats.collect(events, 'job.done', undefined, options);
    await events.emit('job.done', 3);
    expect((await again.atLeast(1)).map(({ data }) => data)).toEqual([3]);
    expect(what.items).toHaveLength(4);
  });

  it('waits for the handler when it is called beside it, also by the handler of another', async () => {
    const events = await service();
    const what = new Collector<string>('what happened');
    const gate = new Gate();
    const slow = await events.subscribe('job.slow', async () => {
      what.add('slow begins');
      await gate.opened;
      what.add('slow ends');
    });
    await events.subscribe('job.stop', async () => {
      what.add('stop begins');
      await slow.unsubscribe();
      what.add('stop ends');
    });
    await events.emit('job.slow', null);
    await what.atLeast(1);
    await events.emit('job.stop', null);
    await what.atLeast(2);
    gate.open();
    expect(await what.atLeast(4)).toEqual(['slow begins', 'stop begins', 'slow ends', 'stop ends']);
  });
});
