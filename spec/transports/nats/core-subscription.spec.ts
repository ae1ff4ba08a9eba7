import { createNatsTransport } from '../../../lib/transports/nats';
import { onNats } from '../../support/on-nats';

const nats = onNats();

describe('a core subscription', () => {
  it('that was never started hands out nothing while it stops', async () => {
    const { server, clusterId, logger } = nats;
    const transport = createNatsTransport({
      servers: [server.url],
      clusterId,
      app: 'shop',
      delivery: 'ephemeral',
      logger,
    });
    await transport.connect();
    const handled: string[] = [];
    const spec = {
      app: 'shop',
      handler: 'h',
      durable: 'shop__h',
      patterns: ['order.placed'],
      delivery: 'ephemeral' as const,
      broadcast: false,
      startFrom: 'new' as const,
      concurrency: 100,
      maxDeliveries: 1,
    };
    const subscription = await transport.subscribe(spec, async ({ name }) => {
      handled.push(name);
      return { kind: 'ack' };
    });
    const client = await nats.client();
    for (let number = 0; number < 500; number++) client.publish(nats.subject('order.placed'), '1');
    // They are on their way here, before the server sees the end of the subscription.
    await client.flush();
    await subscription.stop(1000);
    await transport.close();
    expect(handled).toEqual([]);
    expect(logger.entries.items.map(({ message }) => message)).toContain(
      "500 events of 'h' are lost at its stop (ephemeral)",
    );
  });
});
