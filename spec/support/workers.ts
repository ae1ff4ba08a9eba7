import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createEventService, type EventService } from '@venta/events';
import {
  connect,
  headers as emptyHeaders,
  type ConsumerInfo,
  type JetStreamManager,
  type NatsConnection,
} from 'nats';
import { NatsServer } from './nats-server';
import { silentLogger } from './silent-logger';
import { buildLibrary } from './worker-build';
import {
  Journal,
  startWorker,
  workersReady,
  type JournalEntry,
  type Program,
  type WorkerEvent,
  type WorkerOptions,
} from './worker-process';

export interface StoredLetter {
  readonly id: string;
  readonly reason: string;
  readonly durable: string;
  readonly attempts: number;
}

export interface Workers {
  readonly journal: Journal;
  readonly clusterId: string;
  readonly url: string;
  /** What the handlers did, by what it was. */
  entries(what: JournalEntry['what']): JournalEntry[];
  /** Starts a process and waits until it consumes. */
  start(options: Partial<WorkerOptions>): Promise<Program>;
  /** Starts several at once. */
  startAll(options: readonly Partial<WorkerOptions>[]): Promise<Program[]>;
  /** Starts a process and does not wait. */
  spawn(options: Partial<WorkerOptions>): Program;
  /** Starts a process, and another one in its place whenever it ends, until the test does. */
  keepAlive(options: Partial<WorkerOptions>): void;
  /** Emits from this process, as the service `emitter`. */
  emit(name: string, events: readonly WorkerEvent[]): Promise<string[]>;
  consumer(durable: string): Promise<ConsumerInfo>;
  /** Resolves when nothing is undelivered or in hands. */
  settled(durable: string, timeout?: number): Promise<void>;
  deadLetters(): Promise<StoredLetter[]>;
  /** Records of attempts. */
  marks(): Promise<number>;
  /** Takes what is undelivered and hands it back, so many times: what rolling restarts do to waiting events. */
  handBack(durable: string, times: number): Promise<void>;
}

/** A server for the tests of a file; a cluster, a journal and worker processes for each test. */
export function workers(defaults: Partial<WorkerOptions> = {}): Workers {
  let server: NatsServer;
  let connection: NatsConnection;
  let manager: JetStreamManager;
  let journal: Journal;
  let clusterId: string;
  let emitter: EventService | undefined;
  const programs = new Set<Program>();
  let ending = false;

  beforeAll(async () => {
    [server] = await Promise.all([NatsServer.start(), buildLibrary()]);
    connection = await connect({ servers: server.url });
    manager = await connection.jetstreamManager();
  }, 120_000);
  afterAll(async () => {
    await connection?.close();
    await server?.stop();
  });
  beforeEach(async () => {
    ending = false;
    clusterId = `workers-${randomUUID()}`;
    journal = await Journal.create();
  });
  afterEach(async () => {
    ending = true;
    await Promise.all([...programs].map((program) => program.kill()));
    await emitter?.drain();
    emitter = undefined;
    await journal?.remove();
  });

  const spawn = (options: Partial<WorkerOptions>): Program => {
    const program = startWorker(
      { app: 'shop', url: server.url, clusterId, handlers: [], ...defaults, ...options },
      journal,
    );
    programs.add(program);
    void program.exited.then(() => programs.delete(program));
    return program;
  };
  const keepAlive = (options: Partial<WorkerOptions>): void => {
    void spawn(options).exited.then(() => {
      if (!ending) keepAlive(options);
    });
  };
  const startAll = async (options: readonly Partial<WorkerOptions>[]): Promise<Program[]> => {
    const started = options.map(spawn);
    await workersReady(journal, started);
    return started;
  };

  return {
    get journal() {
      return journal;
    },
    get clusterId() {
      return clusterId;
    },
    get url() {
      return server.url;
    },
    entries: (what) => journal.entries.filter((entry) => entry.what === what),
    spawn,
    startAll,
    keepAlive,
    start: async (options) => (await startAll([options]))[0] as Program,
    emit: async (name, events) => {
      emitter ??= await createEventService(
        { appName: 'emitter', url: server.url, clusterId, consume: false },
        silentLogger,
      );
      const receipts = await emitter.emitMany(events.map((data) => ({ name, data })));
      return receipts.map(({ id }) => id);
    },
    consumer: (durable) => manager.consumers.info(clusterId, durable),
    settled: async (durable, timeout = 30_000) => {
      const deadline = Date.now() + timeout;
      for (;;) {
        const info = await manager.consumers.info(clusterId, durable);
        if (info.num_pending === 0 && info.num_ack_pending === 0) return;
        if (Date.now() > deadline) {
          throw new Error(`not settled: ${info.num_pending} undelivered, ${info.num_ack_pending} in hands`);
        }
        await sleep(20);
      }
    },
    deadLetters: async () => {
      const stream = `${clusterId}-dlq`;
      const { state } = await manager.streams.info(stream, { subjects_filter: `${stream}.>` });
      const letters: StoredLetter[] = [];
      for (const subject of Object.keys(state.subjects ?? {})) {
        const { header = emptyHeaders() } = await manager.streams.getMessage(stream, {
          last_by_subj: subject,
        });
        letters.push({
          id: header.get('ce-id'),
          reason: header.get('Event-Failure-Reason'),
          durable: header.get('Event-Origin-Durable'),
          attempts: Number(header.get('Event-Failure-Attempts')),
        });
      }
      return letters;
    },
    marks: async () => {
      const stream = `${clusterId}-retry`;
      const { state } = await manager.streams.info(stream, { subjects_filter: `${stream}._attempts.>` });
      return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
    },
    handBack: async (durable, times) => {
      const consumer = await connection.jetstream().consumers.get(clusterId, durable);
      const { num_pending, num_ack_pending } = await manager.consumers.info(clusterId, durable);
      const total = num_pending + num_ack_pending;
      for (let taken = 0; taken < total * times;) {
        const left = total * times - taken;
        const messages = await consumer.fetch({ max_messages: Math.min(total, left), expires: 5000 });
        for await (const message of messages) {
          taken++;
          message.nak();
        }
      }
      await connection.flush();
    },
  };
}
