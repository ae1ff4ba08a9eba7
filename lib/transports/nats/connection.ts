import { readFileSync } from 'node:fs';
import {
  connect,
  createInbox,
  credsAuthenticator,
  Events,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
  type Authenticator,
  type ConnectionOptions,
  type NatsConnection,
  type Status,
} from 'nats';
import { EventsError } from '../../core/errors';
import { sanitize } from '../../core/names';
import type { NatsCredentials, NatsTransportOptions } from './options';
import { Refusals, type Operation } from './refusals';
import { SteadySubscription, type SteadyOptions } from './steady-subscription';

const OLDEST_SERVER = [2, 10] as const;
const PING_INTERVAL = 10_000;
/** Milliseconds one server may take to answer a new connection. */
const DIAL_TIMEOUT = 5000;
const FIRST_RETRY = 100;
const LAST_RETRY = 1000;

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
  #nc: NatsConnection | undefined;
  #connected = false;
  #closing = false;
  #probe: NodeJS.Timeout | undefined;

  constructor(options: NatsTransportOptions) {
    this.#options = options;
    this.#inboxPrefix = inboxPrefixOf(options.app);
  }

  /** @throws EventsError `connection_failed` after `connectTimeout`, `unsupported_server` */
  async connect(): Promise<void> {
    const { servers, connectTimeout } = this.#options;
    const deadline = Date.now() + connectTimeout;
    let pause = FIRST_RETRY;
    for (;;) {
      try {
        this.#nc = await within(deadline - Date.now(), connect(connectionOptions(this.#options)));
        break;
      } catch (cause) {
        if (Date.now() + pause >= deadline) {
          throw new EventsError(
            'connection_failed',
            `no connection to ${servers.join(', ')} within ${connectTimeout} ms: ${(cause as Error).message}; ` +
              `is the server running, are \`url\` (NATS_URL) and \`connection\` right?`,
            { cause, retryable: true },
          );
        }
        await new Promise((resolve) => setTimeout(resolve, pause));
        pause = Math.min(pause * 2, LAST_RETRY);
      }
    }
    this.#connected = true;
    const version = this.nc.info?.version ?? '0';
    if (!isSupported(version)) {
      await this.#nc.close();
      throw new EventsError(
        'unsupported_server',
        `the server is nats-server ${version}; at least ${OLDEST_SERVER.join('.')} is needed`,
      );
    }
    void this.#watch(this.#nc.status());
    void this.#nc.closed().then((error) => this.#onClosed(error));
    this.#probe = setInterval(() => void this.#checkAlive(), PING_INTERVAL);
  }

  get nc(): NatsConnection {
    if (this.#nc === undefined) throw new EventsError('closed', 'the transport is not connected');
    return this.#nc;
  }

  get connected(): boolean {
    return this.#connected;
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
    for (const subscription of this.#subscriptions) void subscription.tick();
  }

  /** Publishes what must be harmless there, and tells whether the server lets it pass. @throws when it does not answer */
  async permitsPublish(subject: string, timeout: number): Promise<boolean> {
    const before = this.refusals.lastNumber('publish', subject);
    this.nc.publish(subject, '?', { reply: createInbox(this.#inboxPrefix) });
    await this.flush(timeout);
    if (this.refusals.lastNumber('publish', subject) !== before) return false;
    this.refusals.lift('publish', subject);
    return true;
  }

  listen(listener: ConnectionListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when the server has answered everything sent before; late errors of the server included. */
  async flush(timeout: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const expired = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`the server did not answer within ${timeout} ms`)), timeout);
    });
    try {
      await Promise.race([this.nc.flush(), expired]);
      // A refusal precedes the answer on the wire, but reaches us through an iterator, a few ticks later.
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#probe);
    if (this.#nc === undefined) return;
    if (this.#connected) await this.flush(2000).catch(() => undefined);
    this.#connected = false;
    await this.#nc.close();
  }

  async #watch(statuses: AsyncIterable<Status>): Promise<void> {
    for await (const status of statuses) {
      if (status.type === Events.Disconnect) {
        this.#connected = false;
        this.#tell((listener) => listener.disconnected?.());
        if (!this.#closing) this.#options.logger.warn('disconnected from NATS; reconnecting');
      } else if (status.type === Events.Reconnect) {
        this.#connected = true;
        this.refusals.liftAll();
        this.#options.logger.log(`reconnected to NATS at ${this.nc.getServer()}`);
        this.#tell((listener) => listener.reconnected?.());
      } else if (status.type === Events.Error) {
        const context = status.permissionContext;
        if (context === undefined) {
          this.#options.logger.error(`NATS: ${JSON.stringify(status.data)}`);
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

  #onClosed(error: void | Error): void {
    this.#connected = false;
    clearInterval(this.#probe);
    if (!this.#closing) {
      const why = error instanceof Error ? `: ${error.message}` : '';
      this.#options.logger.error(`the connection to NATS is closed for good${why}; restart this process`);
    }
    this.#tell((listener) => listener.closed?.());
  }

  // The client's own pings find a dead server, but not a reader that died with the socket still open.
  async #checkAlive(): Promise<void> {
    if (!this.#connected) return;
    try {
      await this.flush(PING_INTERVAL / 2);
    } catch {
      if (this.#connected && !this.#closing) await this.nc.reconnect().catch(() => undefined);
    }
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

const inboxPrefixOf = (app: string): string => `_INBOX.${sanitize(app)}`;

function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return major > OLDEST_SERVER[0] || (major === OLDEST_SERVER[0] && minor >= OLDEST_SERVER[1]);
}

/** Gives up a connection that comes too late, and closes it when it comes. */
async function within(ms: number, connecting: Promise<NatsConnection>): Promise<NatsConnection> {
  let timer: NodeJS.Timeout | undefined;
  let late = false;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      late = true;
      reject(new Error('no server answered in time'));
    }, ms);
  });
  connecting.then((nc) => (late ? nc.close() : undefined)).catch(() => undefined);
  try {
    return await Promise.race([connecting, expired]);
  } finally {
    clearTimeout(timer);
  }
}

function connectionOptions(options: NatsTransportOptions): ConnectionOptions {
  const { credentials, servers, app, clientId } = options;
  // nats.js ignores the scheme of a URL.
  const tls = credentials.tls ?? (servers.some((server) => server.startsWith('tls://')) ? {} : undefined);
  const authenticator = authenticatorOf(credentials, options.logger.warn.bind(options.logger));
  return {
    servers: [...servers],
    name: clientId,
    inboxPrefix: inboxPrefixOf(app),
    // Also of each reconnect: not what happened to be left of `connectTimeout` when the first connection came.
    timeout: DIAL_TIMEOUT,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 500,
    reconnectJitterTLS: 1000,
    pingInterval: PING_INTERVAL,
    maxPingOut: 2,
    // Two authentication errors in a row would otherwise close the connection for good.
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
    ...(tls === undefined ? {} : { tls }),
    ...(authenticator === undefined ? {} : { authenticator }),
  };
}

/**
 * Secrets are read when connecting, each time, so that rotated ones are picked up. An authenticator that throws would make
 * the client close the connection for good: the server's refusal of an empty answer only makes it try again.
 */
function authenticatorOf(
  credentials: NatsCredentials,
  warn: (message: string) => void,
): ConnectionOptions['authenticator'] {
  const { user, pass, token, creds, nkeySeed, nkeyFile, authenticator } = credentials;
  const steady = (answer: Authenticator): Authenticator => {
    return (nonce) => {
      try {
        return answer(nonce);
      } catch (error) {
        warn(`the credentials for NATS cannot be read: ${(error as Error).message}`);
        return undefined;
      }
    };
  };
  if (authenticator !== undefined) return authenticator.map(steady);
  if (creds !== undefined) return steady(credsAuthenticator(() => secretIn(creds)));
  if (nkeyFile !== undefined) return steady(nkeyAuthenticator(() => secretIn(nkeyFile)));
  if (nkeySeed !== undefined) return steady(nkeyAuthenticator(Buffer.from(nkeySeed)));
  if (token !== undefined) return tokenAuthenticator(token);
  if (user !== undefined) return usernamePasswordAuthenticator(user, pass);
  return undefined;
}

const secretIn = (path: string): Uint8Array => Buffer.from(readFileSync(path, 'utf8').trim());
