import { randomUUID } from 'node:crypto';
import {
  connect,
  nanos,
  type ConnectionOptions,
  type ConsumerInfo,
  type JetStreamManager,
  type NatsConnection,
  type StreamInfo,
  type Subscription,
} from 'nats';
import type { EventService } from '../../lib/core/event-service';
import type { EventsLogger } from '../../lib/core/logger';
import { createEventService, type EventsModuleOptions } from '../../lib/nest';
import { eventually } from './fault-ledger';
import { NatsServer, type NatsServerOptions } from './nats-server';

const TIMEOUT = 110_000;

/** What the services of a test have logged. */
export class RecordedLog implements EventsLogger {
  readonly lines: { readonly level: keyof EventsLogger; readonly message: string; readonly at: number }[] =
    [];
  readonly error = (message: string): void => this.#record('error', message);
  readonly warn = (message: string): void => this.#record('warn', message);
  readonly log = (message: string): void => this.#record('log', message);
  readonly debug = (message: string): void => this.#record('debug', message);

  find(level: keyof EventsLogger, pattern: RegExp): string[] {
    return this.lines
      .filter((line) => line.level === level && pattern.test(line.message))
      .map(({ message }) => message);
  }

  #record(level: keyof EventsLogger, message: string): void {
    this.lines.push({ level, message, at: Date.now() });
  }
}

export interface DeadLetterOnServer {
  readonly subject: string;
  readonly id: string;
  readonly reason: string;
}

/** Errors that callbacks threw into the client library, which stops reading for everybody then. None may occur. */
const thrownIntoClient: unknown[] = [];
let guarded: unknown;

/** Everything one fault test works with, on a cluster id of its own; `fault` ends it. */
export class FaultScene {
  readonly clusterId = `f-${randomUUID()}`;
  readonly log = new RecordedLog();
  readonly #ends: (() => Promise<unknown>)[] = [];
  #raw: NatsConnection | undefined;
  #jsm: JetStreamManager | undefined;

  constructor(
    readonly url: string | readonly string[],
    /** How the test itself gets in. */
    private readonly rawOptions: ConnectionOptions = {},
  ) {}

  /** A service, connected and consuming. */
  async service(appName: string, options: EventsModuleOptions = {}): Promise<EventService> {
    const { clusterId, url } = this;
    const service = await createEventService(
      { appName, clusterId, url, shutdownTimeout: 2000, ...options },
      this.log,
    );
    this.atEnd(() => service.drain());
    return service;
  }

  /** The plain client, to look from outside; it reconnects for ever. */
  async raw(): Promise<NatsConnection> {
    if (this.#raw === undefined) {
      this.#raw = await connect({
        servers: [this.url].flat(),
        maxReconnectAttempts: -1,
        reconnectTimeWait: 100,
        ignoreAuthErrorAbort: true,
        ...this.rawOptions,
      });
      const raw = this.#raw;
      this.atEnd(() => raw.close());
    }
    return this.#raw;
  }

  async jsm(): Promise<JetStreamManager> {
    return (this.#jsm ??= await (await this.raw()).jetstreamManager({ checkAPI: false }));
  }

  /** Of the events, unless another one is named; asked for until the server answers, which it may just have come up to. */
  async stream(name = this.clusterId): Promise<StreamInfo> {
    const { streams } = await this.jsm();
    return eventually(`stream '${name}' is known`, () => streams.info(name).catch(() => undefined));
  }

  async consumer(durable: string): Promise<ConsumerInfo> {
    const { consumers } = await this.jsm();
    const info = (): Promise<ConsumerInfo> => consumers.info(this.clusterId, durable);
    return eventually(`'${durable}' is known`, () => info().catch(() => undefined));
  }

  /** The dead letters on the server, oldest first. */
  async deadLetters(): Promise<DeadLetterOnServer[]> {
    const { streams } = await this.jsm();
    const stream = `${this.clusterId}-dlq`;
    const { state } = await this.stream(stream);
    const letters: DeadLetterOnServer[] = [];
    for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
      const message = await streams.getMessage(stream, { seq }).catch(() => undefined);
      if (message === undefined || !message.subject.startsWith(`${stream}.`)) continue;
      const { subject, header } = message;
      letters.push({ subject, id: header.get('ce-id'), reason: header.get('Event-Failure-Reason') });
    }
    return letters;
  }

  /** Makes the server deliver again sooner what was not settled: its 30 s are too long for a test. */
  async ackWait(durable: string, ms: number): Promise<void> {
    const { consumers } = await this.jsm();
    const { config } = await this.consumer(durable);
    await consumers.update(this.clusterId, durable, { ...config, ack_wait: nanos(ms) });
  }

  /** Resolves when the server waits for nothing of this durable. */
  async settled(durable: string): Promise<void> {
    await eventually(`'${durable}' has nothing pending`, async () => {
      const { num_pending, num_ack_pending } = await this.consumer(durable);
      return num_pending + num_ack_pending === 0;
    });
  }

  atEnd(end: () => Promise<unknown>): void {
    this.#ends.push(end);
  }

  /** Last come, first ended. @throws the first failure */
  async end(): Promise<void> {
    let failure: unknown;
    for (const end of this.#ends.reverse()) await end().catch((error: unknown) => (failure ??= error));
    if (failure !== undefined) throw failure as Error;
  }
}

interface Client {
  subscribe: (this: NatsConnection, ...args: Parameters<NatsConnection['subscribe']>) => Subscription;
}

/** Watches the callbacks of every connection that is made in this process from now on. */
async function guardClient(scene: FaultScene): Promise<void> {
  const client = Object.getPrototypeOf(await scene.raw()) as Client;
  if (guarded === client) return;
  guarded = client;
  const { subscribe } = client;
  client.subscribe = function (subject, options = {}) {
    const { callback } = options;
    if (callback === undefined) return subscribe.call(this, subject, options);
    return subscribe.call(this, subject, {
      ...options,
      callback: (error, msg) => {
        try {
          callback(error, msg);
        } catch (thrown) {
          thrownIntoClient.push(thrown);
          throw thrown;
        }
      },
    });
  };
}

/** Runs beside the other faults of its file. Jest itself fails the file for an unhandled rejection. */
export function scenario(
  title: string,
  run: (scene: FaultScene) => Promise<void>,
  begin: () => Promise<FaultScene>,
): void {
  it.concurrent(
    title,
    async () => {
      const scene = await begin();
      try {
        await guardClient(scene);
        await run(scene);
      } finally {
        await scene.end();
      }
      expect(thrownIntoClient).toEqual([]);
    },
    TIMEOUT,
  );
}

/** A fault on a server of its own. */
export function fault(
  title: string,
  run: (scene: FaultScene, server: NatsServer) => Promise<void>,
  options: NatsServerOptions & { raw?: ConnectionOptions } = {},
): void {
  let server: NatsServer;
  scenario(
    title,
    (scene) => run(scene, server),
    async () => {
      server = await NatsServer.start(options);
      const scene = new FaultScene(server.url, options.raw);
      scene.atEnd(() => server.stop());
      return scene;
    },
  );
}
