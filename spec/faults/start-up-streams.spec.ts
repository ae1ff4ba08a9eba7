import {
  DiscardPolicy,
  type JetStreamManager,
  nanos,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from 'nats';
import type { EventsModuleOptions, EventService } from '@venta/events';
import { EventsError } from '@venta/events';
import { failing } from '../support/leftovers';
import { onNats } from '../support/on-nats';

const nats = onNats();

const HOUR = 3_600_000;

const manager = async (): Promise<JetStreamManager> => (await nats.client()).jetstreamManager();

/** Makes the event stream, or the dead-letter stream, as somebody else would have. `C` in a subject is the cluster id. */
async function existing(config: Partial<StreamConfig>, suffix = ''): Promise<JetStreamManager> {
  const jsm = await manager();
  const name = nats.clusterId + suffix;
  const own = suffix === '-dlq' ? [`${name}.>`, `${name}-run.>`] : [`${name}.>`];
  const subjects = (config.subjects ?? own).map((subject) => subject.replace(/^C/, nats.clusterId));
  await jsm.streams.add({ name, discard: DiscardPolicy.New, ...config, subjects });
  return jsm;
}

const configOf = async (jsm: JetStreamManager, suffix = ''): Promise<StreamConfig> =>
  (await jsm.streams.info(nats.clusterId + suffix)).config;

const warnings = (): string[] =>
  nats.logger.entries.items.filter(({ level }) => level === 'warn').map(({ message }) => message);

describe('start-up fails on a stream', () => {
  it.each<[string, Partial<StreamConfig>, RegExp]>([
    ['that takes other subjects', { subjects: ['C-other.>'] }, /C-other\.>/],
    [
      'that takes a part of the subjects only',
      { subjects: ['C.user.>', 'C.order.>'] },
      /C\.user\.>, C\.order\.>/,
    ],
    ['with interest retention', { retention: RetentionPolicy.Interest }, /interest/],
    ['with work-queue retention', { retention: RetentionPolicy.Workqueue }, /workqueue/],
    ['in memory', { storage: StorageType.Memory }, /memory/],
    ['that does not acknowledge', { no_ack: true }, /acknowledge/],
    [
      'with several of these',
      { retention: RetentionPolicy.Interest, storage: StorageType.Memory },
      /interest.*memory/,
    ],
  ])('%s, and tells what is wrong', async (_title, config, told) => {
    const jsm = await existing(config);
    const before = await configOf(jsm);

    const error = await failing(() => nats.service());

    expect(error).toMatchObject({ code: 'stream_mismatch', retryable: false });
    expect((error as EventsError).message).toContain(`'${nats.clusterId}'`);
    expect((error as EventsError).message.replaceAll(nats.clusterId, 'C')).toMatch(told);
    expect(await configOf(jsm)).toEqual(before);
  });

  it.each<[string, Partial<StreamConfig>, RegExp]>([
    ['that takes other subjects', { subjects: ['C-other.>'] }, /C-other\.>/],
    ['with work-queue retention', { retention: RetentionPolicy.Workqueue }, /workqueue/],
    ['in memory', { storage: StorageType.Memory }, /memory/],
  ])('for dead letters %s', async (_title, config, told) => {
    await existing(config, '-dlq');

    const error = await failing(() => nats.service());

    expect(error).toMatchObject({ code: 'stream_mismatch' });
    expect((error as EventsError).message).toContain(`'${nats.clusterId}-dlq'`);
    expect((error as EventsError).message.replaceAll(nats.clusterId, 'C')).toMatch(told);
  });

  it('of another name that takes its subjects, and says how to get around it', async () => {
    const jsm = await manager();
    await jsm.streams.add({ name: `${nats.clusterId}-legacy`, subjects: [nats.subject('user.>')] });

    const error = await failing(() => nats.service());

    expect(error).toMatchObject({ code: 'stream_mismatch' });
    expect((error as EventsError).message).toMatch(/another stream.*NATS_CLUSTER_ID/);
  });

  it('that is missing, with manage: false, and creates none', async () => {
    const error = await failing(() => nats.service({ stream: { manage: false } }));

    expect(error).toMatchObject({ code: 'stream_mismatch' });
    expect((error as EventsError).message).toMatch(new RegExp(`'${nats.clusterId}(-dlq)?'.*manage`));
    const names = await (await manager()).streams.names().next();
    expect(names.filter((name) => name.startsWith(nats.clusterId))).toEqual([]);
  });

  it('that the server refuses to create, with a named error', async () => {
    const error = await failing(() => nats.service({ stream: { replicas: 3 } }));

    expect(error).toBeInstanceOf(EventsError);
    expect((error as EventsError).message).toContain(`'${nats.clusterId}`);
    expect((error as EventsError).message).toMatch(/replicas/);
  });
});

describe('start-up accepts a stream', () => {
  it('in memory, where the service asks for that', async () => {
    await existing({ storage: StorageType.Memory });
    await existing({ storage: StorageType.Memory }, '-dlq');

    const service = await nats.service({ stream: { storage: 'memory' } });

    expect(await service.emit('order.placed', 1)).toMatchObject({ sequence: 1 });
    expect(warnings()).toEqual([]);
  });

  it('that takes more subjects than its own', async () => {
    await existing({ subjects: [`${nats.clusterId}.>`, `${nats.clusterId}-more.>`] });

    expect(await (await nats.service()).emit('order.placed', 1)).toMatchObject({ sequence: 1 });
  });

  it('with manage: false, if it is there', async () => {
    await nats.service();

    const service = await nats.service({ appName: 'mail', stream: { manage: false } });

    expect(await service.emit('order.placed', 1)).toMatchObject({ sequence: 1 });
  });

  it.each<[string, Partial<StreamConfig>]>([
    ['with limits', { max_age: nanos(HOUR), max_msgs: 1000, max_bytes: 1_000_000 }],
    ['that drops what is old', { discard: DiscardPolicy.Old }],
    ['with a short duplicate window', { duplicate_window: nanos(1000) }],
  ])('%s, in silence, where the service did not ask for anything else', async (_title, config) => {
    const jsm = await existing(config);
    const before = await configOf(jsm);

    await nats.service();

    expect(warnings()).toEqual([]);
    expect(await configOf(jsm)).toEqual(before);
  });

  it('that differs from what the service asks for, with a warning that tells how', async () => {
    const jsm = await existing({ max_age: nanos(HOUR), max_msgs: 1000, discard: DiscardPolicy.Old });
    const before = await configOf(jsm);

    const service = await nats.service({
      stream: { maxAge: 2 * HOUR, maxMessages: -1, maxBytes: -1, discard: 'new' },
    });

    expect(warnings()).toHaveLength(1);
    const [warning] = warnings();
    expect(warning).toContain(`'${nats.clusterId}'`);
    expect(warning).toContain(`maxAge is ${HOUR}, here ${2 * HOUR}`);
    expect(warning).toContain('maxMessages is 1000, here -1');
    expect(warning).toContain('discard is old, here new');
    expect(warning).not.toContain('maxBytes');
    expect(await configOf(jsm)).toEqual(before);
    expect(await service.emit('order.placed', 1)).toMatchObject({ sequence: 1 });
  });

  it('for dead letters that differs, with a warning that names the option', async () => {
    await existing({ max_age: nanos(HOUR) }, '-dlq');

    await nats.service({ stream: { deadLetter: { maxAge: 2 * HOUR } } });

    expect(warnings()).toEqual([expect.stringMatching(/-dlq' differs from `stream\.deadLetter`.*maxAge/)]);
  });
});

describe("manage: 'update'", () => {
  it('widens what is narrower, never narrows, and leaves the rest as it is', async () => {
    const jsm = await existing({
      description: 'made by hand',
      max_age: nanos(HOUR),
      max_bytes: 50_000_000,
      max_msgs: 1000,
      max_msg_size: 100_000,
      duplicate_window: nanos(60_000),
      discard: DiscardPolicy.Old,
    });
    const before = await configOf(jsm);

    await nats.service({
      stream: {
        manage: 'update',
        maxAge: 2 * HOUR,
        maxBytes: 10_000_000,
        maxMessages: -1,
        duplicateWindow: 120_000,
        discard: 'new',
      },
    });

    expect(await configOf(jsm)).toEqual({
      ...before,
      max_age: nanos(2 * HOUR),
      max_msgs: -1,
      duplicate_window: nanos(120_000),
      discard: DiscardPolicy.New,
    });
    expect(warnings()).toEqual([expect.stringContaining('maxBytes is 50000000, here 10000000')]);
  });

  it('takes no limit for wider than any', async () => {
    const jsm = await existing({ max_age: 0, max_msgs: -1, max_bytes: -1 });
    const before = await configOf(jsm);

    await nats.service({
      stream: { manage: 'update', maxAge: HOUR, maxMessages: 1_000_000, maxBytes: 1_000_000_000 },
    });

    expect(await configOf(jsm)).toEqual(before);
  });

  it('lifts a limit of time', async () => {
    const jsm = await existing({ max_age: nanos(HOUR) });

    await nats.service({ stream: { manage: 'update', maxAge: 0 } });

    expect((await configOf(jsm)).max_age).toBe(0);
  });

  it('changes nothing that the service did not ask for', async () => {
    const jsm = await existing({ max_age: nanos(HOUR), max_msgs: 1000 });
    const before = await configOf(jsm);

    await nats.service({ stream: { manage: 'update' } });

    expect(await configOf(jsm)).toEqual(before);
  });

  it('keeps the events that are stored', async () => {
    const jsm = await existing({ max_msgs: 10 });
    const client = await nats.client();
    for (let i = 0; i < 5; i++) await client.jetstream().publish(nats.subject('order.placed'), String(i));

    await nats.service({ stream: { manage: 'update', maxMessages: 3 } });
    await nats.service({ appName: 'mail', stream: { manage: 'update', maxMessages: 20 } });

    expect((await jsm.streams.info(nats.clusterId)).state.messages).toBe(5);
    expect((await configOf(jsm)).max_msgs).toBe(20);
  });

  it('creates what is missing', async () => {
    await nats.service({ stream: { manage: 'update', maxAge: HOUR } });

    expect((await configOf(await manager())).max_age).toBe(nanos(HOUR));
  });
});

describe('F22 services with different stream options', () => {
  const WIDE: Partial<EventsModuleOptions> = { appName: 'wide', stream: { maxAge: 48 * HOUR } };
  const NARROW: Partial<EventsModuleOptions> = {
    appName: 'narrow',
    stream: { maxAge: HOUR, maxMessages: 1000, deadLetter: { maxAge: HOUR } },
  };
  const PLAIN: Partial<EventsModuleOptions> = { appName: 'plain' };

  const works = async (services: readonly EventService[]): Promise<void> => {
    for (const service of services) {
      expect(await service.emit('order.placed', 1)).toMatchObject({ stream: nats.clusterId });
    }
  };

  it.each([
    ['the wide one first', [WIDE, NARROW, PLAIN]],
    ['the narrow one first', [NARROW, PLAIN, WIDE]],
    ['the plain one first', [PLAIN, WIDE, NARROW]],
  ])('all start, %s, and the first one decides', async (_title, order) => {
    const services: EventService[] = [];
    for (const options of order) services.push(await nats.service(options));

    await works(services);
    const jsm = await manager();
    expect((await configOf(jsm)).max_age).toBe(nanos(order[0]!.stream?.maxAge ?? 7 * 24 * HOUR));
  });

  it('all start together', async () => {
    for (let round = 0; round < 5; round++) {
      const clusterId = `${nats.clusterId}-${round}`;
      const services = await Promise.all(
        [WIDE, NARROW, PLAIN, WIDE, NARROW, PLAIN].map((options) => nats.service({ ...options, clusterId })),
      );
      const receipts = await Promise.all(services.map((service) => service.emit('order.placed', 1)));
      expect(receipts.map(({ sequence }) => sequence).sort()).toEqual([1, 2, 3, 4, 5, 6]);
    }
  });

  it("all start together with manage: 'update', and the widest wins", async () => {
    const ages = [1, 2, 3, 4, 5].map((days) => days * 24 * HOUR);

    for (let round = 0; round < 3; round++) {
      const clusterId = `${nats.clusterId}-${round}`;
      await Promise.all(
        ages.map((maxAge, i) =>
          nats.service({ appName: `shop-${i}`, clusterId, stream: { manage: 'update', maxAge } }),
        ),
      );
      const { config } = await (await manager()).streams.info(clusterId);
      expect(config.max_age).toBe(nanos(ages.at(-1)!));
    }
  });

  it('all start together, and those that did not get what they asked for say so', async () => {
    for (let round = 0; round < 5; round++) {
      nats.logger.clear();
      const clusterId = `${nats.clusterId}-${round}`;
      await Promise.all([WIDE, NARROW].map((options) => nats.service({ ...options, clusterId })));

      // Whoever lost the race compares what it set: one option of the wide one, two of the narrow one.
      const told = warnings().filter((warning) => warning.startsWith(`stream '${clusterId}' differs`));
      expect(told).toEqual([expect.stringContaining('maxAge')]);
    }
  });
});
