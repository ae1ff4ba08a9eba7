import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { createInbox, Events, type NatsConnection, type Status } from 'nats';
import { EventsError } from '../../core/errors';
import { Frames } from './frames';
import { refusalOfCredentials } from './authentication';
import { dial, inboxPrefixOf, within } from './dial';
import type { DialSockets } from './dial-sockets';
import { Liveness } from './liveness';
import type { NatsTransportOptions } from './options';
import { Reader } from './reader';
import { Refusals, type Operation } from './refusals';
import { SteadySubscription, type SteadyOptions } from './steady-subscription';

const PROBE = Buffer.from('?');

/** What a connection tells those who work with it. Called one by one; what a listener throws is logged. */
export interface ConnectionListener {
  disconnected?(): void;
  reconnected?(): void;
  /** The server refused a publish to, or a subscription of, this subject. */
  denied?(operation: Operation, subject: string): void;
  closed?(): void;
}

/** The connection to the servers: waits for the first one, then reconnects for ever. */
export class NatsLink {
  readonly #options: NatsTransportOptions;
  readonly #inboxPrefix: string;
  readonly #listeners = new Set<ConnectionListener>();
  readonly #subscriptions = new Set<SteadySubscription>();
  readonly refusals = new Refusals();
  /** Why there is no connection, as far as the server or the secrets tell. */
  readonly #complaints = new Set<string>();
  #nc: NatsConnection | undefined;
  #frames: Frames | undefined;
  #reader: Reader | undefined;
  #connected = false;
  #closing = false;
  #sockets: DialSockets | undefined;
  readonly #liveness: Liveness;
  #sharedFlush: Promise<void> | undefined;
  #unheard: string | undefined;
  /**
   * In front of the stream in acknowledgement subjects of version 2, once a delivery has shown that the server uses them. It does not
   * say so before.
   */
  ackPrefix: string | undefined;

  constructor(options: NatsTransportOptions) {
    this.#options = options;
    this.#inboxPrefix = inboxPrefixOf(options.app);
    this.#liveness = new Liveness({
      ask: () => this.ask(),
      received: () => this.#reader?.received ?? 0,
      isWithinCommand: () => this.#reader?.isWithinCommand ?? true,
      socket: () => this.#socket,
      giveUp: (silence) => this.#giveUp(silence),
    });
  }

  /** @throws EventsError `connection_failed` after `connectTimeout`, `unsupported_server` */
  async connect(): Promise<void> {
    const dialled = await dial(this.#options, (sentence) => this.#complain('warn', sentence));
    this.#nc = dialled.connection;
    this.#sockets = dialled.sockets;
    this.#frames = new Frames(this.#nc);
    this.#reader = new Reader(this.#nc);
    this.#reader.install();
    this.#connected = true;
    this.#liveness.connected();
    this.#complaints.clear();
    this.#options.logger.log(`connected to NATS at ${this.#place}`);
    void this.#watch(this.#nc.status());
    void this.#nc.closed().then((error) => this.#onClosed(error));
  }

  /** By which messages go out that are many. What is sent through the client itself may overtake them. */
  get frames(): Frames {
    if (this.#frames === undefined) throw new EventsError('closed', 'the transport is not connected');
    return this.#frames;
  }

  /** What subscriptions are read by. */
  get reader(): Reader {
    if (this.#reader === undefined) throw new EventsError('closed', 'the transport is not connected');
    return this.#reader;
  }

  get nc(): NatsConnection {
    if (this.#nc === undefined) throw new EventsError('closed', 'the transport is not connected');
    return this.#nc;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** What is wrong with the connection itself at this moment. */
  get problem(): string | undefined {
    if (this.#closing) return undefined;
    if (this.#connected) return this.#liveness.problem;
    const why = [...this.#complaints].join('; ');
    return why === '' ? 'not connected to NATS' : `not connected to NATS: ${why}`;
  }

  /** A subscription that outlives a refusal by the server. */
  subscribe(subject: string, options: SteadyOptions): SteadySubscription {
    const subscription = new SteadySubscription(this, subject, options);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  forget(subscription: SteadySubscription): void {
    this.#subscriptions.delete(subscription);
  }

  /** Called once a second. */
  tick(): void {
    if (this.#connected && !this.#closing) this.#liveness.tick();
    for (const subscription of this.#subscriptions) void subscription.tick();
  }

  /** Whether the server lets a publish to this subject pass; as `deniedPublish`. */
  async permitsPublish(subject: string, timeout: number): Promise<boolean> {
    return (await this.deniedPublish([subject], timeout)) === undefined;
  }

  /**
   * Publishes what must be harmless there, and tells which of these subjects the server denies, the first of them.
   * @param timeout milliseconds; of those who ask at once, the first one's counts
   * @throws when the server does not answer
   */
  async deniedPublish(subjects: readonly string[], timeout: number): Promise<string | undefined> {
    const before = subjects.map((subject) => this.refusals.lastNumber('publish', subject));
    // Nobody listens to what comes back: one inbox will do for all that is ever asked.
    const reply = (this.#unheard ??= createInbox(this.#inboxPrefix));
    for (const subject of subjects) this.nc.publish(subject, PROBE, { reply });
    await this.#flushTogether(timeout);
    let denied: string | undefined;
    for (const [index, subject] of subjects.entries()) {
      if (this.refusals.lastNumber('publish', subject) === before[index])
        this.refusals.lift('publish', subject);
      else denied ??= subject;
    }
    return denied;
  }

  listen(listener: ConnectionListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Bytes that have been sent and that the operating system has not taken yet. */
  get unsent(): number {
    return this.#frames?.unsent ?? 0;
  }

  /** Calls `task` once when all has been taken that was sent; perhaps never, if the connection is lost before. */
  whenSent(task: () => void): void {
    this.#socket?.once('drain', task);
  }

  /** Resolves when the server has seen everything sent before, however long that takes; rejects when the connection is lost. */
  async ask(): Promise<void> {
    this.#frames?.flush();
    await this.nc.flush();
  }

  /** Resolves when the server has answered everything sent before; late errors of the server included. */
  async flush(timeout: number): Promise<void> {
    await within(timeout, this.ask());
    // A refusal precedes the answer on the wire, but reaches us through an iterator, a few ticks later.
    await new Promise((resolve) => setImmediate(resolve));
  }

  /**
   * As `flush`, once for all who ask in one turn of the event loop: each is a write to the socket, and the two that each
   * of a thousand handlers asks for took half of the time in which they were bound.
   */
  #flushTogether(timeout: number): Promise<void> {
    return (this.#sharedFlush ??= new Promise((resolve) => setImmediate(resolve)).then(() => {
      this.#sharedFlush = undefined; // what is published from here on comes after it
      return this.flush(timeout);
    }));
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#nc === undefined) return;
    if (this.#connected) await this.flush(2000).catch(() => undefined);
    this.#connected = false;
    await this.#nc.close();
    // The client leaves the socket of a dial under way.
    this.#sockets?.abandon();
  }

  async #watch(statuses: AsyncIterable<Status>): Promise<void> {
    for await (const status of statuses) {
      if (status.type === Events.Disconnect) {
        const isNews = this.#connected && !this.#closing;
        this.#connected = false;
        if (isNews) this.#options.logger.warn('disconnected from NATS; reconnecting');
        this.#tell((listener) => listener.disconnected?.());
      } else if (status.type === Events.Reconnect) {
        this.reader.install();
        this.#connected = true;
        this.#liveness.connected();
        this.#complaints.clear();
        this.refusals.liftAll();
        this.#options.logger.log(`reconnected to NATS at ${this.#place}`);
        this.#tell((listener) => listener.reconnected?.());
      } else if (status.type === Events.Error) {
        const context = status.permissionContext;
        if (context === undefined) {
          const refusal = refusalOfCredentials(status.data);
          if (refusal === undefined) this.#options.logger.error(`NATS: ${JSON.stringify(status.data)}`);
          else this.#complain('error', refusal);
          continue;
        }
        const operation = context.operation === 'publish' ? 'publish' : 'subscription';
        const sentence = operation === 'publish' ? 'publish to' : 'subscribe to';
        // What is tried again and again is told once.
        if (this.refusals.add(operation, context.subject)) {
          this.#options.logger.error(`the server denies this service to ${sentence} "${context.subject}"`);
        }
        this.#tell((listener) => listener.denied?.(operation, context.subject));
      }
    }
  }

  /** What holds at each try is told once, until there is a connection again. */
  #complain(level: 'error' | 'warn', sentence: string): void {
    if (this.#complaints.has(sentence)) return;
    this.#complaints.add(sentence);
    this.#options.logger[level](`not connected to NATS: ${sentence}`);
  }

  #onClosed(error: void | Error): void {
    this.#connected = false;
    if (!this.#closing) {
      const why = error instanceof Error ? `: ${error.message}` : '';
      this.#options.logger.error(`the connection to NATS is closed for good${why}; restart this process`);
    }
    this.#tell((listener) => listener.closed?.());
  }

  /**
   * The client's way to leave a connection waits until all that was written has been sent, on a dead one for ever. What the
   * operating system still holds is dropped with it: it would compete with what is sent again.
   */
  #giveUp(silence: number): void {
    const socket = this.#socket;
    this.#options.logger.warn(`NATS has not answered for ${silence} ms: the connection is given up`);
    if (socket instanceof TLSSocket) socket.destroy();
    else socket?.resetAndDestroy();
  }

  /** The server that it is connected to, and the cluster of events that is used there. */
  get #place(): string {
    const { nc } = this;
    return `${nc.getServer()} (nats-server ${nc.info?.version ?? '?'}), cluster '${this.#options.clusterId}'`;
  }

  get #socket(): Socket | undefined {
    // What the client's class has and its interface does not.
    const { protocol } = (this.#nc ?? {}) as { protocol?: { transport?: { socket?: Socket } } };
    return protocol?.transport?.socket;
  }

  #tell(call: (listener: ConnectionListener) => void): void {
    for (const listener of this.#listeners) {
      try {
        call(listener);
      } catch (error) {
        this.#options.logger.error(`a connection listener failed: ${String(error)}`);
      }
    }
  }
}
