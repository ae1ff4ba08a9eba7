import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  nanos,
  StorageType,
  type ConsumerConfig,
  type StreamConfig,
} from 'nats';
import type { SubscribeOptions } from '@venta/events';
import { eventually, Ledger } from '../support/fault-ledger';
import { FaultScene, scenario } from '../support/fault-scene';
import { NatsServer } from '../support/nats-server';

const DURABLE = 'app__h';
const RETRY = { attempts: 5, delay: 50, backoff: 'fixed', jitter: 0 } as const;

/** One server for all: each scene has a cluster id of its own. */
let started: Promise<NatsServer> | undefined;
afterAll(async () => (await started)?.stop());
const changes = (title: string, run: (scene: FaultScene) => Promise<void>): void =>
  scenario(title, run, async () => new FaultScene((await (started ??= NatsServer.start())).url));

interface Working {
  readonly ledger: Ledger;
  readonly problems: () => readonly string[];
  /** Emits ten events, of which some fail once. */
  readonly emit: (prefix: string) => Promise<void>;
}

/** A service with a handler whose durable is at work. */
async function working(scene: FaultScene, appName = 'app'): Promise<Working> {
  const ledger = new Ledger();
  const service = await scene.service(appName, { retry: RETRY });
  const handler = ledger.handler((_data, { id, attempt }) => {
    if (attempt === 1 && id.endsWith('-fails')) throw new Error('passing');
  });
  await service.subscribe('thing', handler, { name: 'h', concurrency: 10 });
  await ledger.emit(service, 'thing', 'first');
  await scene.settled(`${appName}__h`);
  return {
    ledger,
    problems: () => service.status.problems,
    emit: async (prefix) => {
      for (let n = 0; n < 10; n++)
        await ledger.emit(service, 'thing', `${prefix}-${n}${n % 3 === 0 ? '-fails' : ''}`);
    },
  };
}

type Config = ConsumerConfig & { readonly priority_policy?: string };

const EDITS: [string, object, (config: Config) => unknown][] = [
  ['max_deliver', { max_deliver: 1 }, ({ max_deliver }) => max_deliver === -1],
  ['headers_only', { headers_only: true }, ({ headers_only }) => headers_only !== true],
  ['max_ack_pending', { max_ack_pending: 1 }, ({ max_ack_pending }) => max_ack_pending === 50_000],
  ['max_batch', { max_batch: 1 }, ({ max_batch = 0 }) => max_batch === 0],
  ['max_expires', { max_expires: nanos(1000) }, ({ max_expires = 0 }) => max_expires === 0],
  ['max_bytes', { max_bytes: 100 }, ({ max_bytes = 0 }) => max_bytes === 0],
  ['backoff', { max_deliver: 3, backoff: [nanos(60_000)] }, ({ backoff = [] }) => backoff.length === 0],
  ['inactive_threshold', { inactive_threshold: nanos(60_000) }, (c) => (c.inactive_threshold ?? 0) === 0],
  [
    'its filter',
    { filter_subject: undefined, filter_subjects: ['x.y'] },
    ({ filter_subject }) => filter_subject?.endsWith('.thing'),
  ],
];

for (const [title, change, isRight] of EDITS) {
  changes(
    `F69 a durable that is edited while services run (${title}) is put right, and loses no event`,
    async (scene) => {
      const { ledger, problems, emit } = await working(scene);
      const { consumers } = await scene.jsm();
      await consumers.update(scene.clusterId, DURABLE, change);
      await emit('changed');
      await eventually('it is right again', async () => isRight((await scene.consumer(DURABLE)).config));
      await emit('after');
      await eventually('all are handled', () => ledger.lost().length === 0);
      await scene.settled(DURABLE);
      expect([
        ...scene.log.find('warn', /is put right/),
        ...scene.log.find('error', /replaced/),
      ]).toHaveLength(1);
      await eventually('nothing is wrong any more', () => problems().length === 0);
      expect(await scene.deadLetters()).toEqual([]);
    },
  );
}

const OTHERS: [string, Partial<ConsumerConfig>][] = [
  ['without acknowledgements', { ack_policy: AckPolicy.None }],
  ['that acknowledges all before', { ack_policy: AckPolicy.All }],
  ['that pushes', { ack_policy: AckPolicy.Explicit, deliver_subject: 'x.y' }],
];

for (const [title, config] of OTHERS) {
  changes(
    `F69 a consumer ${title}, made in the place of a durable, is replaced at its position`,
    async (scene) => {
      const { ledger, problems, emit } = await working(scene);
      const { consumers } = await scene.jsm();
      await consumers.delete(scene.clusterId, DURABLE);
      const { created } = await consumers.add(scene.clusterId, {
        durable_name: DURABLE,
        filter_subject: `${scene.clusterId}.thing`,
        ...config,
      });
      await emit('changed');
      await eventually('it is replaced', async () => (await scene.consumer(DURABLE)).created !== created);
      await emit('after');
      await eventually('all are handled', () => ledger.lost().length === 0);
      await scene.settled(DURABLE);
      await eventually('nothing is wrong any more', () => problems().length === 0);
      expect((await scene.consumer(DURABLE)).config).toMatchObject({
        ack_policy: AckPolicy.Explicit,
        metadata: { 'events-app': 'app', 'events-handler': 'h' },
      });
      expect(await scene.deadLetters()).toEqual([]);
    },
  );
}

changes('F69 a durable that somebody recreates behind its position is set back to it', async (scene) => {
  const { ledger, emit } = await working(scene);
  const { consumers } = await scene.jsm();
  const { config } = await scene.consumer(DURABLE);
  await consumers.delete(scene.clusterId, DURABLE);
  await emit('between');
  // A service that recreates it first may be faster.
  const copy = { ...config, deliver_policy: DeliverPolicy.New, opt_start_seq: undefined };
  await consumers.delete(scene.clusterId, DURABLE).catch(() => undefined);
  await consumers.add(scene.clusterId, copy).catch(() => undefined);
  await emit('after');
  await eventually('all are handled', () => ledger.lost().length === 0);
  await scene.settled(DURABLE);
});

changes('F69 a durable that belongs to another service now is told, not fought over', async (scene) => {
  const { problems, emit, ledger } = await working(scene);
  const { consumers } = await scene.jsm();
  const { config } = await scene.consumer(DURABLE);
  const others = { 'events-app': 'other', 'events-handler': 'theirs' };
  await consumers.update(scene.clusterId, DURABLE, { metadata: others });
  const told = await eventually('it is told', () =>
    problems().find((each) => each.includes("service 'other'")),
  );
  expect(told).toMatch(/durable 'app__h'.*of 'theirs' in service 'other'.*another `name`/);
  expect((await scene.consumer(DURABLE)).config.metadata).toMatchObject(others);
  await consumers.update(scene.clusterId, DURABLE, { metadata: config.metadata });
  await emit('after');
  await eventually('all are handled', () => ledger.lost().length === 0);
  await eventually('nothing is wrong any more', () => problems().length === 0);
});

changes(
  'F69 a request that is refused again and again is a problem with the words of the server',
  async (scene) => {
    const { problems, ledger } = await working(scene);
    const service = await scene.service('app2');
    const { consumers } = await scene.jsm();
    await consumers.add(scene.clusterId, {
      durable_name: 'app2__h',
      ack_policy: AckPolicy.Explicit,
      max_deliver: -1,
      max_ack_pending: 50_000,
      max_waiting: 1,
      filter_subject: `${scene.clusterId}.thing`,
      metadata: { 'events-app': 'app2', 'events-handler': 'h' },
    });
    const first = await scene.service('app2');
    await first.subscribe('thing', ledger.handler(), { name: 'h' });
    await service.subscribe('thing', ledger.handler(), { name: 'h' });
    await eventually('it is told', () =>
      [first, service].some(({ status }) =>
        status.problems.some((each) =>
          /requests for events: (409 Exceeded MaxWaiting|the server went silent)/i.test(each),
        ),
      ),
    );
    expect(problems()).toEqual([]);
  },
);

changes('F69 a paused durable is told, with the way to resume it', async (scene) => {
  const { problems, ledger, emit } = await working(scene);
  const raw = await scene.raw();
  const pause = async (until: string): Promise<boolean> => {
    const body = JSON.stringify({ pause_until: until });
    const answer = await raw
      .request(`$JS.API.CONSUMER.PAUSE.${scene.clusterId}.${DURABLE}`, body, { timeout: 1000 })
      .catch(() => undefined);
    return answer?.json<{ paused?: boolean }>().paused === true;
  };
  // Servers before 2.11 cannot.
  if (!(await pause(new Date(Date.now() + 3_600_000).toISOString()))) return;
  await emit('paused');
  const told = await eventually('it is told', () =>
    problems().find((each) => each.includes('is paused until')),
  );
  expect(told).toContain(`nats consumer resume ${scene.clusterId} ${DURABLE}`);
  await pause(new Date(0).toISOString());
  await eventually('all are handled', () => ledger.lost().length === 0);
  await eventually('nothing is wrong any more', () => problems().length === 0);
});

const filtersOf = async (scene: FaultScene): Promise<readonly string[]> => {
  const { filter_subjects: many, filter_subject: one = '' } = (await scene.consumer(DURABLE)).config;
  return (many ?? [one]).map((filter) => filter.slice(scene.clusterId.length + 1));
};

changes('F70 a durable that an older version recreates takes the names of the newer one', async (scene) => {
  const ledger = new Ledger();
  const old = await scene.service('app');
  await old.subscribe('thing', ledger.handler(), { name: 'h' });
  const renewed = await scene.service('app');
  await renewed.bind({ name: 'h', patterns: ['thing', 'other'], handler: ledger.handler(), options: {} });
  expect(await filtersOf(scene)).toEqual(['thing', 'other']);
  await renewed.drain();
  const looks = (await scene.raw()).subscribe(`$JS.API.CONSUMER.INFO.${scene.clusterId}.${DURABLE}`);
  await looks[Symbol.asyncIterator]().next();
  // What it then read is in its hands a moment later.
  await (await scene.raw()).flush();

  const { consumers } = await scene.jsm();
  const { created } = await scene.consumer(DURABLE);
  await eventually('the older one is done with its look', () => consumers.delete(scene.clusterId, DURABLE));
  await eventually('it is recreated', async () => (await scene.consumer(DURABLE)).created !== created);
  expect([...(await filtersOf(scene))].sort()).toEqual(['other', 'thing']);
});

changes(
  'F70 a durable that an older version recreated without knowing of a name loses no event of that name',
  async (scene) => {
    const ledger = new Ledger();
    const service = await scene.service('app');
    await service.bind({ name: 'h', patterns: ['thing', 'other'], handler: ledger.handler(), options: {} });
    await ledger.emit(service, 'other', 'first');
    await scene.settled(DURABLE);
    const { consumers } = await scene.jsm();
    const { config } = await scene.consumer(DURABLE);
    await consumers.delete(scene.clusterId, DURABLE);
    const metadata = { ...config.metadata, 'events-recreated': new Date().toISOString() };
    const older = {
      ...config,
      filter_subjects: undefined,
      filter_subject: `${scene.clusterId}.thing`,
      metadata,
    };
    await consumers.add(scene.clusterId, older);
    for (const id of ['a', 'b', 'c']) {
      await ledger.emit(service, 'other', `other-${id}`);
      await ledger.emit(service, 'thing', `thing-${id}`);
    }
    await eventually('all are handled', () => ledger.lost().length === 0);
    expect([...(await filtersOf(scene))].sort()).toEqual(['other', 'thing']);
    await eventually('nothing is wrong any more', () => service.status.problems.length === 0);
  },
);

const STREAM_EDITS: [string, Partial<StreamConfig>, RegExp][] = [
  ['other subjects', { subjects: ['C.user.>'] }, /cannot hold.*it takes C\.user\.>, not 'C\.>'/],
  ['max_msgs_per_subject', { max_msgs_per_subject: 1 }, /cannot hold.*max_msgs_per_subject is 1/],
  [
    'subject_transform',
    { subject_transform: { src: 'C.>', dest: 'zz.>' } },
    /cannot hold.*subject_transform/,
  ],
  ['discard old', { discard: DiscardPolicy.Old }, /narrowed.*discard is old, was new/],
  ['a lower max_age', { max_age: nanos(600_000) }, /narrowed.*maxAge is 600000, was 604800000/],
  ['a lower max_msgs', { max_msgs: 100 }, /narrowed.*maxMessages is 100, was -1/],
  ['a lower max_bytes', { max_bytes: 100_000 }, /narrowed.*maxBytes is 100000, was -1/],
];

for (const [title, change, told] of STREAM_EDITS) {
  changes(
    `F71 a stream that is edited while services run (${title}) is a problem until it is restored`,
    async (scene) => {
      const service = await scene.service('app');
      const { streams } = await scene.jsm();
      const { config } = await scene.stream();
      const text = JSON.stringify(change).replaceAll('C.', `${scene.clusterId}.`);
      await streams.update(scene.clusterId, { ...config, ...(JSON.parse(text) as Partial<StreamConfig>) });
      const [problem] = await eventually('it is told', () => {
        const { problems } = service.status;
        return problems.length > 0 && problems;
      });
      expect(problem?.replaceAll(scene.clusterId, 'C')).toMatch(told);
      await streams.update(scene.clusterId, { ...config, subject_transform: undefined });
      if (title !== 'subject_transform')
        await eventually('nothing is wrong any more', () => service.status.problems.length === 0);
    },
  );
}

changes(
  'F71 a stream that is sealed, or made again in memory, while services run is a problem',
  async (scene) => {
    const service = await scene.service('app', { stream: { manage: false } }).catch(() => undefined);
    expect(service).toBeUndefined();
    const first = await scene.service('app');
    const { streams } = await scene.jsm();
    const { config } = await scene.stream();
    await streams.update(scene.clusterId, { ...config, sealed: true } as StreamConfig);
    await eventually('it is told', () => first.status.problems.some((each) => each.includes('it is sealed')));
    await streams.delete(scene.clusterId);
    await streams.add({ name: scene.clusterId, subjects: config.subjects, storage: StorageType.Memory });
    await eventually('it is told', () => first.status.problems.some((each) => each.includes('in memory')));
  },
);

changes(
  'a name in `removed` is taken no more, and a `startFrom` that comes too late is told',
  async (scene) => {
    const bind = async (patterns: string[], options: SubscribeOptions): Promise<void> => {
      const service = await scene.service('app');
      await service.bind({ name: 'h', patterns, handler: () => undefined, options });
      await service.drain();
    };
    await bind(['thing', 'other'], {});
    await bind(['thing'], {});
    expect(await filtersOf(scene)).toEqual(['thing', 'other']);
    expect(scene.log.find('warn', /`removed: \['other'\]`/)).toHaveLength(1);
    await bind(['thing'], { removed: ['other'], startFrom: 'first' });
    expect(await filtersOf(scene)).toEqual(['thing']);
    expect(scene.log.find('warn', /goes on at its position.*nats consumer rm/)).toHaveLength(1);
    await expect(bind(['thing'], { removed: ['thing'] })).rejects.toMatchObject({ option: 'h.removed' });
  },
);

changes("F71 a stream that is edited while services run is widened by `manage: 'update'`", async (scene) => {
  const stream = { manage: 'update', maxMessages: 1000 } as const;
  const service = await scene.service('app', { stream });
  const { streams } = await scene.jsm();
  const { config } = await scene.stream();
  await streams.update(scene.clusterId, { ...config, max_msgs: 100 });
  await eventually('it is widened', async () => (await scene.stream()).config.max_msgs === 1000);
  await eventually('nothing is wrong any more', () => service.status.problems.length === 0);
});
