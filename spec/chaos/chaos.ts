import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createEventService, type EventService } from '@venta/events';
import { connect, type JetStreamManager, type NatsConnection } from 'nats';
import { Journal, Program } from '../support/worker-process';
import { startBroker, type Broker } from './broker';
import { Fleet, type Service } from './fleet';
import { ledgerOf, type ChaosEntry, type Ledger, type Letter } from './ledger';
import { MENDED_AFTER_MS, planOf, type PlannedFault } from './plan';

const CLUSTER = 'chaos';
const STREAMS = [CLUSTER, `${CLUSTER}-retry`];
/** Milliseconds: the package's own 30 s would make a run of a minute one of half an hour. Nothing else is different. */
const ACK_WAIT = 1500;
const SETTLING_MS = 180_000;
const POLL_MS = 200;
const EMITTERS = 2;
/** More than a flaky event fails when a killed server forgets its acknowledgement and it runs again, twice. */
const RETRY = { attempts: 7, delay: 100, maxDelay: 300 };
const QUIET = { error: () => {}, warn: () => {}, log: () => {}, debug: () => {} };

const PLACE = { name: 'Orders.place', options: { concurrency: 20 } };
const BOOKS = { name: 'Books.enter', on: 'order.*', options: { concurrency: 10 } };
const SERVICES: readonly Service[] = [
  {
    app: 'orders',
    instances: 3,
    handlers: [{ ...PLACE, on: ['order.created', 'order.paid'] }, BOOKS],
    next: [{ ...PLACE, on: ['order.created', 'order.paid', 'order.refunded'] }, BOOKS],
  },
  {
    app: 'mailer',
    instances: 2,
    handlers: [{ name: 'Mails.send', on: 'order.created', options: { concurrency: 5 } }],
  },
];
const EVENTS = ['order.created', 'order.paid'];
const NEXT_EVENTS = ['order.refunded'];
const handlersOf = (event: string): string[] =>
  SERVICES.flatMap(({ handlers, next }) =>
    (next ?? handlers).filter(({ on }) => on === 'order.*' || on.includes(event)).map(({ name }) => name),
  );

/**
 * Runs services under load while servers, links and processes fail, some events kill their process, dead letters are
 * redriven and a new version is deployed. In the end every event in the stream has been handled, or is a dead letter
 * if it was meant to be one, and the stream has every event that was acknowledged.
 * @returns true when all of it held
 */
export async function chaos(options: {
  seconds: number;
  seed: number;
  /** 1 or 3. */
  nodes: number;
  say: (line: string) => void;
}): Promise<boolean> {
  const { seconds, seed, nodes, say } = options;
  say(`chaos: ${seconds} s, seed ${seed}, ${nodes} ${nodes === 1 ? 'node' : 'nodes'}`);
  const plan = planOf({ seconds, seed, nodes, names: EVENTS, nextNames: NEXT_EVENTS, handlersOf });
  const broker = await startBroker(nodes, CLUSTER);
  const journal = await Journal.create<ChaosEntry>();
  const fleet = new Fleet({
    ...{ urls: broker.urls, clusterId: CLUSTER, ackWait: ACK_WAIT, module: { retry: RETRY } },
    ...{ services: SERVICES, journal },
  });
  let operator: EventService | undefined;
  try {
    operator = await startOperator(broker, nodes);
    fleet.start();
    // The durables exist before the first event: what is emitted before them is none of their business.
    await journal.until('every service is up', (entries) => {
      const ready = entries.filter(({ what }) => what === 'ready');
      return SERVICES.every(({ app }) => ready.some((entry) => entry.app === app));
    });
    const file = `${journal.file}.plan`;
    await writeFile(file, JSON.stringify(plan.events));
    const emitters = Array.from(
      { length: EMITTERS },
      (_, part) =>
        new Program(path.join(__dirname, 'emitter.mjs'), {
          ...{ url: broker.urls.join(','), clusterId: CLUSTER, journal: journal.file, plan: file },
          ...{ part, parts: EMITTERS, nextEvents: NEXT_EVENTS, failsFor: MENDED_AFTER_MS },
        }),
    );
    const begun = Date.now();
    const counts = await perform(plan.faults, { broker, fleet, operator, begun, file, journal });
    for (const emitter of emitters) {
      const { code } = await emitter.exited;
      if (code !== 0) throw new Error(`an emitter ended with code ${code}: ${emitter.output}`);
    }
    const emitted = Date.now();
    const settled = await settle(broker, operator);
    const ended = Date.now();
    await fleet.stop();

    const { stored, letters, marks } = await readStreams(broker);
    const entries = journal.entries;
    const ledger = ledgerOf({ planned: plan.events, handlersOf, entries, stored, letters });
    const complaints = [
      ...(settled ? [] : [`not settled ${SETTLING_MS} ms after the end`]),
      ...ledger.complaints,
    ];
    const suicides = entries.filter(({ what }) => what === 'suicide').length;
    report(ledger, [
      ['seed', seed],
      ['nodes', nodes],
      ['events planned', plan.events.length],
      ['acknowledged', ledger.acknowledged],
      ['refused (unknown outcome)', ledger.refused],
      ['in the stream', stored.size],
      ...[...counts].map(([target, count]) => [`fault: ${target}`, count] as const),
      ['redriven', counts.redriven],
      ['workers killed by an event', suicides],
      ['processes started', fleet.started],
      ['emitting, s', ((emitted - begun) / 1000).toFixed(1)],
      ['settled after further, s', ((ended - emitted) / 1000).toFixed(1)],
      ['marks left behind', marks],
      ['lost', ledger.handlers.reduce((sum, { lost }) => sum + lost, 0)],
    ]);
    for (const complaint of complaints.slice(0, 20)) say(`WRONG: ${complaint}`);
    if (complaints.length > 20) say(`... and ${complaints.length - 20} more`);
    say(complaints.length === 0 ? 'chaos: all is well' : `chaos: FAILED, again with --seed ${seed}`);
    if (complaints.length > 0) say(`journal: ${journal.file}`);
    else await journal.remove();
    return complaints.length === 0;
  } finally {
    await fleet.stop();
    await operator?.drain().catch(() => {});
    await broker.stop();
  }
}

/** Creates the streams, with a replica on each node, and redrives dead letters. */
const startOperator = (broker: Broker, replicas: number): Promise<EventService> =>
  createEventService(
    {
      ...{ appName: 'operator', url: [...broker.urls], clusterId: CLUSTER, consume: false },
      connectTimeout: 60_000,
      stream: { replicas, deadLetter: { replicas } },
    },
    QUIET,
  );

class FaultCounts extends Map<string, number> {
  redriven = 0;

  count(target: string): void {
    this.set(target, (this.get(target) ?? 0) + 1);
  }
}

interface Scene {
  readonly broker: Broker;
  readonly fleet: Fleet;
  readonly operator: EventService;
  /** Milliseconds since the epoch. */
  readonly begun: number;
  /** Of the plan; beside it lies a file that starts the events of the next version. */
  readonly file: string;
  readonly journal: Journal<ChaosEntry>;
}

/** Resolves when the last fault is over. */
async function perform(faults: readonly PlannedFault[], scene: Scene): Promise<FaultCounts> {
  const { broker, fleet, operator, begun, file, journal } = scene;
  const counts = new FaultCounts();
  const background: Promise<unknown>[] = [];
  let ofBroker: Promise<unknown> = Promise.resolve();
  for (const fault of faults) {
    await sleep(Math.max(0, begun + fault.at - Date.now()));
    if (fault.target !== 'worker' && fault.target !== 'redrive' && fault.target !== 'deployment') {
      ofBroker = ofBroker
        .then(() => broker.perform(fault))
        .then((done) => counts.count(done ? fault.target : `${fault.target}, left out: nodes not in step`));
      background.push(ofBroker);
      continue;
    }
    counts.count(fault.target);
    if (fault.target === 'worker') fleet.killOne(fault.which);
    else if (fault.target === 'redrive') {
      background.push(redriveMended(operator).then((redriven) => (counts.redriven += redriven)));
    } else {
      background.push(fleet.deploy());
      const isNext = ({ what, pid }: ChaosEntry): boolean => what === 'ready' && fleet.nextPids.has(pid);
      const ready = journal.until('the next version is up', (entries) => entries.some(isNext), 120_000);
      background.push(ready.then(() => writeFile(`${file}.next`, '')));
    }
  }
  await Promise.all(background);
  return counts;
}

/**
 * Sends the dead letters of the handlers that are mended by now back to them. What cannot be sent now is left for the
 * next time.
 * @returns how many
 */
async function redriveMended(operator: EventService): Promise<number> {
  let redriven = 0;
  try {
    let cursor: string | undefined;
    do {
      const page = await operator.deadLetters.list({ limit: 1000, cursor });
      for (const letter of page.items) {
        if (!letter.eventId.startsWith('mended-')) continue;
        await operator.deadLetters.redrive(letter.id);
        redriven++;
      }
      cursor = page.cursor;
    } while (cursor !== undefined);
  } catch {
    // The server is down, or another letter was in the way: the letters stay.
  }
  return redriven;
}

/** Waits until nothing is undelivered, in flight or still to be redriven. @returns false when that took too long */
async function settle(broker: Broker, operator: EventService): Promise<boolean> {
  return withManager(broker, async (manager) => {
    const deadline = Date.now() + SETTLING_MS;
    while (Date.now() < deadline) {
      if ((await isIdle(manager).catch(() => false)) && (await redriveMended(operator)) === 0) {
        if (await isIdle(manager).catch(() => false)) return true;
      }
      await sleep(POLL_MS);
    }
    return false;
  });
}

async function isIdle(manager: JetStreamManager): Promise<boolean> {
  for (const stream of STREAMS) {
    const consumers = await manager.consumers.list(stream).next();
    if (consumers.some(({ num_pending, num_ack_pending }) => num_pending + num_ack_pending > 0)) return false;
  }
  return true;
}

async function readStreams(
  broker: Broker,
): Promise<{ stored: Set<string>; letters: Letter[]; marks: number }> {
  return withManager(broker, async (manager, connection) => {
    const stored = new Set<string>();
    await readAll(connection, manager, CLUSTER, (_, header) => stored.add(header('ce-id')));
    const letters: Letter[] = [];
    let marks = 0;
    await readAll(connection, manager, `${CLUSTER}-dlq`, (subject, header) => {
      if (!subject.startsWith(`${CLUSTER}-dlq.`)) marks++;
      else {
        letters.push({
          id: header('ce-id'),
          handler: header('Event-Origin-Handler'),
          reason: header('Event-Failure-Reason'),
        });
      }
    });
    return { stored, letters, marks };
  });
}

async function readAll(
  connection: NatsConnection,
  manager: JetStreamManager,
  stream: string,
  read: (subject: string, header: (name: string) => string) => void,
): Promise<void> {
  let { messages: left } = (await manager.streams.info(stream)).state;
  if (left === 0) return;
  const consumer = await connection.jetstream().consumers.get(stream);
  for await (const message of await consumer.consume()) {
    read(message.subject, (name) => message.headers?.get(name) ?? '');
    if (--left === 0) return;
  }
}

async function withManager<T>(
  broker: Broker,
  use: (manager: JetStreamManager, connection: NatsConnection) => Promise<T>,
): Promise<T> {
  const connection = await connect({ servers: [...broker.directUrls], maxReconnectAttempts: -1 });
  try {
    return await use(await connection.jetstreamManager(), connection);
  } finally {
    await connection.close();
  }
}

function report({ handlers }: Ledger, facts: readonly (readonly [string, string | number])[]): void {
  const rows = handlers.map(({ handler, acknowledged, handled, repeated, runs, deadLetters, lost }) => ({
    ...{ handler, acknowledged, handled, repeated, runs },
    'attempts exhausted': deadLetters.attempts_exhausted ?? 0,
    'non retryable': deadLetters.non_retryable ?? 0,
    'crash loop': deadLetters.crash_loop ?? 0,
    lost,
  }));
  const columns = Object.keys(rows[0] ?? {}) as (keyof (typeof rows)[number])[];
  const lines = [columns, ...rows.map((row) => columns.map((column) => String(row[column])))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => String(line[i]).length)));
  const table = lines.map((line) => line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  '));
  const list = facts.map(([name, value]) => `${name.padEnd(28)}${value}`);
  process.stdout.write(`${[...list, '', ...table].join('\n')}\n`);
}
