import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import {
  createEventService,
  type EventContext,
  type EventHandler,
  type EventService,
  type EventsModuleOptions,
  type SubscribeOptions,
} from '@venta/events';
import { connect, type ConnectionOptions, type ConsumerInfo, type NatsConnection } from 'nats';
import { Collector, eventually } from '../../lib/testing/conformance/collector';
import { NatsServer, type NatsServerOptions } from './nats-server';
import { RawSocket } from './raw-socket';
import { RecordingLogger } from './recording-logger';
import { storedMessages, type StoredMessage } from './stored-messages';

// Longer than the patience of a `Collector`, whose message says what did not come.
jest.setTimeout(30_000);

/** One attempt to handle an event. */
export interface Received {
  readonly data: unknown;
  readonly context: EventContext;
}

/**
 * A server for the tests of one file; for each test a cluster id of its own, and services and clients that are closed at
 * its end.
 */
export interface OnNats {
  readonly server: NatsServer;
  readonly clusterId: string;
  /** What the services logged in this test. */
  readonly logger: RecordingLogger;
  /** A running service. By default it is called `shop` and retries quickly. */
  service(options?: Partial<EventsModuleOptions>): Promise<EventService>;
  /** Subscribes and collects every attempt, before `handler`, if there is one, decides how it ends. */
  collect(
    service: EventService,
    pattern: string,
    handler?: EventHandler,
    options?: SubscribeOptions,
  ): Promise<Collector<Received>>;
  /** A plain client. */
  client(options?: ConnectionOptions): Promise<NatsConnection>;
  socket(): Promise<RawSocket>;
  /** What the subject of an event is on the wire. */
  subject(name: string): string;
  stored(stream?: string): Promise<StoredMessage[]>;
  /** Resolves to all dead letters once there are at least `count`. */
  deadLetters(count: number): Promise<StoredMessage[]>;
  /** Resolves when this consumer of the event stream has settled everything. */
  settled(durable: string): Promise<ConsumerInfo>;
}

export function onNats(options: NatsServerOptions = {}): OnNats {
  const logger = new RecordingLogger();
  const closing: (() => unknown)[] = [];
  let server: NatsServer | undefined;
  let clusterId = '';
  let reader: NatsConnection | undefined;

  beforeAll(async () => {
    server = await NatsServer.start(options);
  });
  afterAll(() => server?.stop());
  beforeEach(() => {
    clusterId = `c${randomUUID().slice(0, 8)}`;
    reader = undefined;
  });
  afterEach(async () => {
    // The last first: what was built on something ends before it.
    for (const close of closing.splice(0).reverse()) await close();
    logger.clear();
  });

  const on: OnNats = {
    get server() {
      if (server === undefined) throw new Error('the server starts before the first test of the file');
      return server;
    },
    get clusterId() {
      return clusterId;
    },
    logger,
    service: async (more = {}) => {
      const service = await createEventService(
        {
          appName: 'shop',
          url: on.server.url,
          clusterId,
          retry: { attempts: 2, delay: 20, jitter: 0 },
          ...more,
        },
        logger,
      );
      closing.push(() => service.drain());
      return service;
    },
    collect: async (service, pattern, handler, more) => {
      const collector = new Collector<Received>(
        `events of '${pattern}'`,
        ({ data, context }) => `${context.name} ${JSON.stringify(data)} (attempt ${context.attempt})`,
      );
      await service.subscribe(
        pattern,
        (data: unknown, context) => {
          collector.add({ data, context });
          return handler?.(data, context);
        },
        more,
      );
      return collector;
    },
    client: async (more) => {
      const client = await connect({ servers: on.server.url, ...more });
      closing.push(() => client.close());
      return client;
    },
    socket: async () => {
      const socket = await RawSocket.open(on.server.port);
      closing.push(() => socket.close());
      return socket;
    },
    subject: (name) => `${clusterId}.${name}`,
    stored: async (stream = clusterId) => storedMessages((reader ??= await on.client()), stream),
    deadLetters: (count) =>
      eventually(
        () => on.stored(`${clusterId}-dlq`),
        (letters) => letters.length >= count,
        (letters) => `there are ${letters.length} of ${count} dead letters; the log:\n${lastWords(logger)}`,
      ),
    settled: async (durable) => {
      const { consumers } = await (reader ??= await on.client()).jetstreamManager();
      return eventually(
        () => consumers.info(clusterId, durable),
        (info) => info.num_pending === 0 && info.num_ack_pending === 0,
        (info) =>
          `'${durable}' has ${info.num_pending} events to deliver and ${info.num_ack_pending} unsettled; the log:\n${lastWords(logger)}`,
      );
    },
  };
  return on;
}

const lastWords = (logger: RecordingLogger): string =>
  logger.entries.items
    .slice(-10)
    .map(({ message }) => message.slice(0, 300))
    .join('\n');
