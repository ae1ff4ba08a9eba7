import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type JetStreamManager } from 'nats';
import { NatsServer } from '../support/nats-server';
import { Journal, Program, startWorker, type WorkerOptions } from '../support/worker-process';
import { ledgerOf, type ChaosEntry, type Ledger, type Letter } from './ledger';
import { planOf } from './plan';

const CLUSTER = 'chaos';
/** Milliseconds: the package's own 30 s would make a run of a minute one of half an hour. Nothing else is different. */
const ACK_WAIT = 1500;
const SETTLING_MS = 120_000;
const EMITTERS = 2;
const RETRY = { attempts: 3, delay: 100, maxDelay: 400 };

const SERVICES = [
  {
    app: 'orders',
    instances: 3,
    handlers: [
      { name: 'Orders.place', on: ['order.created', 'order.paid'], options: { concurrency: 20 } },
      { name: 'Books.enter', on: 'order.*', options: { concurrency: 10 } },
    ],
  },
  {
    app: 'mailer',
    instances: 2,
    handlers: [{ name: 'Mails.send', on: 'order.created', options: { concurrency: 5 } }],
  },
];
const EVENTS = ['order.created', 'order.paid'];
const handlersOf = (event: string): string[] =>
  SERVICES.flatMap(({ handlers }) =>
    handlers.filter(({ on }) => on === 'order.*' || on.includes(event)).map(({ name }) => name),
  );

/**
 * Events flow, the server and the services are killed, some events kill their service; in the end every event that was
 * acknowledged has been handled, or is a dead letter if it was meant to be one.
 * @returns whether that held
 */
export async function chaos(options: {
  seconds: number;
  seed: number;
  say: (line: string) => void;
}): Promise<boolean> {
  const { seconds, seed, say } = options;
  say(`chaos: ${seconds} s, seed ${seed}`);
  const plan = planOf(seconds, seed, EVENTS, handlersOf);
  const server = await NatsServer.start();
  const journal = await Journal.create<ChaosEntry>();
  const fleet = new Fleet(server.url, journal);
  try {
    fleet.start();
    // The durables exist before the first event: what is emitted before them is none of their business.
    await journal.until('every service is up', (entries) => {
      const ready = entries.filter(({ what }) => what === 'ready');
      return SERVICES.every(({ app }) => ready.some((entry) => entry.app === app));
    });
    const file = `${journal.file}.plan`;
    await writeFile(file, JSON.stringify(plan.events));
    const begun = Date.now();
    const emitters = Array.from(
      { length: EMITTERS },
      (_, part) =>
        new Program(path.join(__dirname, 'emitter.mjs'), {
          ...{
            url: server.url,
            clusterId: CLUSTER,
            journal: journal.file,
            plan: file,
            part,
            parts: EMITTERS,
          },
        }),
    );
    let serverKills = 0;
    let workerKills = 0;
    for (const { at, target, which, down } of plan.faults) {
      await sleep(Math.max(0, begun + at - Date.now()));
      if (target === 'worker') {
        if (fleet.killOne(which)) workerKills++;
      } else {
        await server.kill();
        await sleep(down);
        await server.restart();
        serverKills++;
      }
    }
    for (const emitter of emitters) {
      const { code } = await emitter.exited;
      if (code !== 0) throw new Error(`an emitter ended with code ${code}: ${emitter.output}`);
    }
    const emitted = Date.now();
    const settled = await settle(server.url);
    const ended = Date.now();
    await fleet.stop();

    const { letters, marks } = await readDeadLetters(server.url);
    const entries = journal.entries;
    const ledger = ledgerOf(plan.events, handlersOf, entries, letters);
    const complaints = [
      ...(settled ? [] : [`not settled ${SETTLING_MS} ms after the end`]),
      ...ledger.complaints,
    ];
    const suicides = entries.filter(({ what }) => what === 'suicide').length;
    report(ledger, [
      ['seed', seed],
      ['events planned', plan.events.length],
      ['acknowledged', ledger.acknowledged],
      ['refused (unknown outcome)', ledger.refused],
      ['server killed', serverKills],
      ['workers killed', workerKills],
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
    await server.stop();
  }
}

/** The processes of all services: whoever dies is replaced. */
class Fleet {
  started = 0;
  readonly #running = new Set<Program>();
  #stopping = false;

  constructor(
    private readonly url: string,
    private readonly journal: Journal<ChaosEntry>,
  ) {}

  start(): void {
    for (const { app, instances, handlers } of SERVICES) {
      for (let i = 0; i < instances; i++) this.#keep({ app, handlers });
    }
  }

  /** @param which 0 to 1 */
  killOne(which: number): boolean {
    const running = [...this.#running];
    const victim = running[Math.floor(which * running.length)];
    victim?.signal('SIGKILL');
    return victim !== undefined;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#running].map((program) => program.kill('SIGTERM')));
  }

  #keep(service: Pick<WorkerOptions, 'app' | 'handlers'>): void {
    this.started++;
    const program = startWorker(
      { ...service, url: this.url, clusterId: CLUSTER, ackWait: ACK_WAIT, module: { retry: RETRY } },
      this.journal,
    );
    this.#running.add(program);
    void program.exited.then(() => {
      this.#running.delete(program);
      if (!this.#stopping) this.#keep(service);
    });
  }
}

/** Waits until nothing is undelivered or in hands anywhere. @returns false when that took too long */
async function settle(url: string): Promise<boolean> {
  return withManager(url, async (manager) => {
    const deadline = Date.now() + SETTLING_MS;
    while (Date.now() < deadline) {
      const consumers = await manager.consumers.list(CLUSTER).next();
      if (consumers.every(({ num_pending, num_ack_pending }) => num_pending + num_ack_pending === 0))
        return true;
      await sleep(200);
    }
    return false;
  });
}

async function readDeadLetters(url: string): Promise<{ letters: Letter[]; marks: number }> {
  return withManager(url, async (manager) => {
    const stream = `${CLUSTER}-dlq`;
    const { state } = await manager.streams.info(stream);
    const letters: Letter[] = [];
    let marks = 0;
    for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
      const message = await manager.streams.getMessage(stream, { seq }).catch(() => undefined);
      if (message === undefined) continue; // a mark that was taken away
      if (message.subject.startsWith(`${stream}-run.`)) marks++;
      else {
        const header = (name: string): string => message.header.get(name);
        letters.push({
          id: header('ce-id'),
          handler: header('Event-Origin-Handler'),
          reason: header('Event-Failure-Reason'),
        });
      }
    }
    return { letters, marks };
  });
}

async function withManager<T>(url: string, use: (manager: JetStreamManager) => Promise<T>): Promise<T> {
  const connection = await connect({ servers: url });
  try {
    return await use(await connection.jetstreamManager());
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
