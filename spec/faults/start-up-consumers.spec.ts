import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  type JetStreamManager,
  nanos,
  RetentionPolicy,
} from 'nats';
import type { EventsError, EventService } from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { onNats } from '../support/on-nats';

const nats = onNats();

const manager = async (): Promise<JetStreamManager> => (await nats.client()).jetstreamManager();
const nothing = (): void => {};

describe('two handlers whose durables would be one', () => {
  it.each([
    ['services that differ in a space', ['Mail Service', 'A.b'], ['Mail-Service', 'A.b']],
    ['services that differ in letters outside ASCII', ['mäil', 'A.b'], ['möil', 'A.b']],
    ['handlers that differ in a dot', ['mail', 'A.b'], ['mail', 'A-b']],
  ] as const)('(%s) do not share it: the second does not start', async (_title, first, second) => {
    const one = await nats.service({ appName: first[0] });
    await one.subscribe('order.placed', nothing, { name: first[1] });
    const other = await nats.service({ appName: second[0] });
    const starting = other.subscribe('order.placed', nothing, { name: second[1] });

    const error: unknown = await starting.catch((reason: unknown) => reason);

    expect(error).toMatchObject({ code: 'duplicate_handler', retryable: false });
    const { message } = error as EventsError;
    for (const named of [...first, ...second]) expect(message).toContain(`'${named}'`);
    expect(other.status.subscriptions).toEqual([]);
    await other.drain();

    await one.emit('order.placed', 1);
    await nats.settled((await (await manager()).consumers.list(nats.clusterId).next())[0]!.name);
    expect(one.status.subscriptions).toMatchObject([{ succeeded: 1 }]);
  });

  it('do not share it either when they start at the same moment', async () => {
    const [one, other] = [
      await nats.service({ appName: 'Mail Service' }),
      await nats.service({ appName: 'Mail-Service' }),
    ];

    const results = await Promise.allSettled(
      [one, other].map((service) => service.subscribe('order.placed', nothing, { name: 'A.b' })),
    );

    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const failed = results.find((result) => result.status === 'rejected');
    expect(failed!.reason).toMatchObject({ code: 'duplicate_handler' });
  });

  it('do not take over a consumer that somebody else made', async () => {
    const service = await nats.service();
    const { consumers } = await manager();
    await consumers.add(nats.clusterId, {
      durable_name: 'shop__Orders-note',
      ack_policy: AckPolicy.Explicit,
      filter_subject: nats.subject('order.placed'),
    });

    await expect(service.subscribe('order.placed', nothing, { name: 'Orders.note' })).rejects.toMatchObject({
      code: 'duplicate_handler',
      message: expect.stringContaining('not made by this package') as string,
    });
  });
});

const warnings = (): string[] =>
  nats.logger.entries.items.filter(({ level }) => level === 'warn').map(({ message }) => message);

describe('a durable that was changed by hand', () => {
  /** Makes the handler's durable, then puts another one in its place that names the same handler. */
  async function changed(change: Partial<ConsumerConfig>): Promise<EventService> {
    const first = await nats.service();
    await first.subscribe('order.placed', nothing, { name: 'Orders.note' });
    await first.drain();
    const { consumers } = await manager();
    const { config } = await consumers.info(nats.clusterId, 'shop__Orders-note');
    await consumers.delete(nats.clusterId, 'shop__Orders-note');
    await consumers.add(nats.clusterId, {
      ...config,
      deliver_policy: DeliverPolicy.All,
      opt_start_seq: undefined,
      ...change,
    });
    return nats.service();
  }

  it.each<[string, Partial<ConsumerConfig>]>([
    ['to push', { deliver_subject: 'deliver.here', max_waiting: undefined }],
    [
      'to no acknowledgement',
      { ack_policy: AckPolicy.None, ack_wait: undefined, max_ack_pending: undefined },
    ],
    ['to acknowledge all', { ack_policy: AckPolicy.All }],
  ])('%s fails start-up', async (_title, change) => {
    const service = await changed(change);

    const error: unknown = await service
      .subscribe('order.placed', nothing, { name: 'Orders.note' })
      .catch((reason: unknown) => reason);

    expect(error).toMatchObject({ code: 'consumer_mismatch', retryable: false });
    expect((error as EventsError).message).toContain("'shop__Orders-note'");
    expect(service.status.subscriptions).toEqual([]);
  });

  it.each<[string, Partial<ConsumerConfig>]>([
    ['in its acknowledgement wait', { ack_wait: nanos(5000) }],
    ['in its number of deliveries', { max_deliver: 5 }],
    ['in its number of unsettled events', { max_ack_pending: 10 }],
    ['to headers without data', { headers_only: true }],
    ['to vanish when it is unused', { inactive_threshold: nanos(60_000) }],
    ['to a back-off of its own', { backoff: [nanos(1000), nanos(2000)], max_deliver: 5 }],
  ])('%s is put right', async (_title, change) => {
    const service = await changed(change);
    const received = await nats.collect(service, 'order.placed', undefined, { name: 'Orders.note' });

    await service.emit('order.placed', 7);
    expect((await received.atLeast(1))[0]!.data).toBe(7);

    const { config } = await (await manager()).consumers.info(nats.clusterId, 'shop__Orders-note');
    expect(config).toMatchObject({
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(30_000),
      max_deliver: -1,
      max_ack_pending: 50_000,
      filter_subject: nats.subject('order.placed'),
    });
    // A consumer's own back-off would replace the acknowledgement wait.
    expect(config.backoff ?? []).toEqual([]);
    expect(config.headers_only ?? false).toBe(false);
    expect(config.inactive_threshold ?? 0).toBe(0);
  });

  it('in its filter takes the events of its handler again, and keeps those it took', async () => {
    const [placed, other] = [nats.subject('order.placed'), nats.subject('order.other')];
    const service = await changed({ filter_subject: other });
    const received = await nats.collect(service, 'order.placed', undefined, { name: 'Orders.note' });

    await service.emit('order.placed', 7);
    expect((await received.atLeast(1))[0]!.data).toBe(7);

    const { config } = await (await manager()).consumers.info(nats.clusterId, 'shop__Orders-note');
    expect([...(config.filter_subjects ?? [])].sort()).toEqual([other, placed].sort());
    expect(warnings()).toEqual([expect.stringMatching(/also takes 'order\.other'.*nats consumer edit/)]);
  });
});

describe('many instances that start at once', () => {
  it('make each stream and each durable once, and handle each event once', async () => {
    const handled = new Collector<string>('handled events');
    const starting = Array.from({ length: 20 }, async (_, i) => {
      const appName = i % 2 === 0 ? 'mail' : 'bank';
      const service = await nats.service({ appName });
      await Promise.all([
        service.subscribe(
          'order.placed',
          (data: unknown) => handled.add(`${appName} placed ${String(data)}`),
          {
            name: 'Orders.placed',
          },
        ),
        service.subscribe('order.*', (data: unknown) => handled.add(`${appName} any ${String(data)}`), {
          name: 'Orders.any',
        }),
      ]);
      return service;
    });
    const services = await Promise.all(starting);

    await Promise.all(services.map((service, i) => service.emit('order.placed', i)));
    await handled.atLeast(20 * 4);
    const { consumers, streams } = await manager();
    const listed = await consumers.list(nats.clusterId).next();
    for (const { name } of listed) await nats.settled(name);

    expect(listed.map(({ name }) => name).sort()).toEqual([
      'bank__Orders-any__order-any',
      'bank__Orders-placed',
      'mail__Orders-any__order-any',
      'mail__Orders-placed',
    ]);
    expect((await streams.info(nats.clusterId)).config.retention).toBe(RetentionPolicy.Limits);
    const expected = Array.from({ length: 20 }, (_, i) =>
      ['mail', 'bank'].flatMap((app) => [`${app} placed ${i}`, `${app} any ${i}`]),
    ).flat();
    expect([...handled.items].sort()).toEqual(expected.sort());
  });

  it('and emit while they start lose nothing to a handler that comes later', async () => {
    const first = await nats.service({ appName: 'mail' });
    await first.emit('order.placed', 'while starting');

    const received = await nats.collect(first, 'order.placed');

    expect((await received.atLeast(1)).map(({ data }) => data)).toEqual(['while starting']);
  });
});
