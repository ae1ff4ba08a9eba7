import { execFileSync } from 'node:child_process';
import { Collector, eventually } from '../../../lib/testing/conformance/collector';
import { onNats } from '../../support/on-nats';

const nats = onNats();

/** Asks, as a process of its own, how far a consumer has come. */
const ASK = `
  const { connect } = require('nats');
  const [url, stream, durable] = process.argv.slice(1);
  connect({ servers: url }).then(async (client) => {
    const { consumers } = await client.jetstreamManager();
    process.stdout.write(String((await consumers.info(stream, durable)).ack_floor.stream_seq));
    await client.close();
  });
`;
const block = (ms: number): void => {
  for (const end = Date.now() + ms; Date.now() < end;);
};

/** The loop does not turn: what it says is what the server knew before the burst ended. */
const ackFloor = (): number => {
  const args = ['-e', ASK, nats.server.url, nats.clusterId, 'shop__reports'];
  return Number(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 10_000 }));
};

describe('acknowledgements', () => {
  it('reach the server while a burst of handlers still keeps the event loop', async () => {
    const service = await nats.service();
    await service.emitMany(Array.from({ length: 40 }, (_, data) => ({ name: 'report.due', data })));
    const known: number[] = [];
    const handled = await nats.collect(
      service,
      'report.due',
      (data) => {
        block(6);
        if (data !== 39) return;
        known.push(ackFloor());
      },
      { name: 'reports', startFrom: 'first', concurrency: 1 },
    );
    await handled.atLeast(40);
    await nats.settled('shop__reports');
    expect(known).toHaveLength(1);
    expect(known[0]).toBeGreaterThan(0);
  });

  it('reach the server while a burst of handlers that give back no promise keeps the event loop', async () => {
    const service = await nats.service();
    await service.emitMany(Array.from({ length: 40 }, (_, data) => ({ name: 'report.due', data })));
    const known = new Collector<number>('what the server knew');
    await service.subscribe(
      'report.due',
      (data: unknown) => {
        block(6);
        if (data === 39) known.add(ackFloor());
      },
      // Asked for all of them at once, the server sends them in one piece.
      { name: 'reports', startFrom: 'first', concurrency: 20 },
    );
    expect((await known.atLeast(1))[0]).toBeGreaterThan(20);
    await nats.settled('shop__reports');
  });

  it('of an event of a stream that was made anew since do not settle another one', async () => {
    const service = await nats.service();
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const handled = await nats.collect(
      service,
      'order.placed',
      (data) => (data === 'old' ? released : undefined),
      { name: 'h' },
    );
    await service.emit('order.placed', 'old');
    await handled.atLeast(1);

    const client = await nats.client();
    const { streams, consumers } = await client.jetstreamManager();
    const stream = (await streams.info(nats.clusterId)).config;
    const consumer = (await consumers.info(nats.clusterId, 'shop__h')).config;
    await streams.delete(nats.clusterId);
    await streams.add(stream);
    await consumers.add(nats.clusterId, { ...consumer, opt_start_seq: 1 });
    await client.jetstream().publish(nats.subject('order.placed'), '"new"');
    const other = await client.jetstream().consumers.get(nats.clusterId, 'shop__h');
    const held = await other.next({ expires: 1000 });
    release();
    // Once the service consumes again, what it had to say of the old event is said or dropped.
    await service.emit('order.placed', 'later');
    await handled.atLeast(2);
    const { ack_floor: floor } = await eventually(
      () => consumers.info(nats.clusterId, 'shop__h'),
      ({ num_ack_pending: pending }) => pending <= 1,
      () => 'the later event was not settled',
    );
    expect(held?.seq).toBe(1);
    expect(handled.items.map(({ data }) => data)).toEqual(['old', 'later']);
    expect(floor.stream_seq).toBe(0);
  });
});
