import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { connect, type ConnectionOptions, type NatsConnection, type TlsOptions } from 'nats';
import { systemClock } from '../../core/clock';
import { EventsError } from '../../core/errors';
import { sanitize } from '../../core/names';
import { authenticatorOf, secretInTheClear, withoutPaths } from './authentication';
import { DialSockets } from './dial-sockets';
import type { NatsTransportOptions } from './options';

const OLDEST_SERVER = [2, 10] as const;
/** Milliseconds in which one server must answer, at the first connection as at every other. */
const DIAL_TIMEOUT = 5000;
const FIRST_RETRY = 100;
const LAST_RETRY = 1000;
/** With fewer milliseconds left, no server can be expected to answer. */
const LAST_TRY = 40;
/** Milliseconds that a start waits for the server without a word. */
const UNTOLD_WAIT = 1000;
/** Milliseconds between two tries of one server when the connection is lost, and how many more by chance. */
const RECONNECT = { wait: 250, jitter: 500, jitterTls: 1000 };
/** `Liveness` asks in its place: the client gives up a slow connection, and waits for ever to close a dead one. */
const NO_PINGS = 2 ** 31 - 1;

/** A connection, and the sockets that it opens. */
export interface Dialled {
  readonly connection: NatsConnection;
  readonly sockets: DialSockets;
}

// What the client's class has and its interface does not.
interface Protocol {
  dial(server: unknown): Promise<void>;
  readonly servers: { getServers(): { lastConnect: number }[] };
}

/**
 * The first connection to one of the servers, tried again until `connectTimeout` is over.
 * @param complain told of credentials that cannot be read, here and at each reconnect
 * @throws EventsError `connection_failed`, `unsupported_server`
 */
export async function dial(
  options: NatsTransportOptions,
  complain: (sentence: string) => void,
): Promise<Dialled> {
  const waiting = setTimeout(() => tellOfWaiting(options), UNTOLD_WAIT);
  const dialled = await firstConnection(options, complain).finally(() => clearTimeout(waiting));
  const { connection } = dialled;
  const version = connection.info?.version ?? '0';
  if (isSupported(version)) return dialled;
  await connection.close();
  throw new EventsError(
    'unsupported_server',
    `the server is nats-server ${version}; at least ${OLDEST_SERVER.join('.')} is needed`,
  );
}

function tellOfWaiting({ servers, connectTimeout, logger }: NatsTransportOptions): void {
  const since = systemClock.now() - UNTOLD_WAIT;
  const time = (at: number): string => new Date(at).toISOString();
  logger.warn(
    `waiting for NATS at ${servers.join(', ')}: not connected since ${time(since)}; ` +
      `tried again until ${time(since + connectTimeout)} (\`connectTimeout\`)`,
  );
}

async function firstConnection(
  options: NatsTransportOptions,
  complain: (sentence: string) => void,
): Promise<Dialled> {
  const { servers, connectTimeout, credentials } = options;
  const deadline = performance.now() + connectTimeout;
  let pause = FIRST_RETRY;
  let problem: unknown = new Error('the server did not answer');
  for (;;) {
    const sockets = new DialSockets();
    let protocol: Protocol | undefined;
    const forget = (): void => forgetFutureTries(protocol);
    const attempt = sockets.follow(() => connect(connectionOptions(options, complain, sockets, forget)));
    try {
      const connection = await within(deadline - performance.now(), attempt);
      protocol = followReconnects(connection, sockets);
      return { connection, sockets };
    } catch (error) {
      sockets.abandon();
      // What a try said before is worth more than that the last one got no answer in time.
      if (performance.now() < deadline) problem = error;
      // One that succeeds after all is nobody's any more.
      attempt.then((late) => late.close()).catch(() => undefined);
    }
    const left = deadline - performance.now();
    if (left <= LAST_TRY) {
      const cause = withoutPaths(problem as Error, credentials);
      throw new EventsError(
        'connection_failed',
        `no connection to ${servers.join(', ')} within ${connectTimeout} ms: ${cause.message}; ` +
          `is the server running, are \`url\` (NATS_URL) and \`connection\` right?`,
        { cause, retryable: true },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(pause, left - LAST_TRY / 2)));
    pause = Math.min(pause * 2, LAST_RETRY);
  }
}

export const inboxPrefixOf = (app: string): string => `_INBOX.${sanitize(app)}`;

/** Rejects when there is no answer in so many milliseconds. */
export async function within<T>(timeout: number, answer: Promise<T>): Promise<T> {
  const whole = Math.max(1, Math.round(timeout));
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    const expire = (): void => reject(new Error(`the server did not answer within ${whole} ms`));
    timer = setTimeout(expire, whole);
  });
  try {
    return await Promise.race([answer, expired]);
  } finally {
    clearTimeout(timer);
  }
}

function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return major > OLDEST_SERVER[0] || (major === OLDEST_SERVER[0] && minor >= OLDEST_SERVER[1]);
}

function connectionOptions(
  options: NatsTransportOptions,
  complain: (sentence: string) => void,
  sockets: DialSockets,
  beforeTry: () => void,
): ConnectionOptions {
  const { credentials, servers, app, clientId } = options;
  // nats.js ignores the scheme of a URL.
  const tls = credentials.tls ?? (servers.some((server) => server.startsWith('tls://')) ? {} : undefined);
  const authenticator = authenticatorOf(credentials, complain);
  return {
    servers: [...servers],
    name: clientId,
    inboxPrefix: inboxPrefixOf(app),
    timeout: DIAL_TIMEOUT,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => {
      beforeTry();
      const jitter = tls === undefined ? RECONNECT.jitter : RECONNECT.jitterTls;
      return RECONNECT.wait + Math.floor(Math.random() * (jitter + 1));
    },
    pingInterval: NO_PINGS,
    // Servers announce one another. Where a secret may not leave this machine, those that are announced are not dialled.
    ignoreClusterUpdates: tls === undefined && secretInTheClear(credentials),
    // Two authentication errors in a row would otherwise close the connection for good.
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
    ...(tls === undefined ? {} : { tls: checkedTls(tls, servers, sockets) }),
    ...(authenticator === undefined ? {} : { authenticator }),
  };
}

/**
 * The client names no host to TLS where it dials an address, and Node takes `localhost` then: a certificate for that
 * would do for any address. It is checked for the address.
 */
function checkedTls(tls: TlsOptions, servers: readonly string[], sockets: DialSockets): TlsOptions {
  const hasLocalhost = servers.some((server) => /^\w+:\/\/localhost:/i.test(server));
  const checked = {
    ...tls,
    checkServerIdentity: (name: string, certificate: PeerCertificate) => {
      const { address } = sockets;
      const isName = name !== 'localhost' || address === undefined || (hasLocalhost && isLoopback(address));
      return checkServerIdentity(isName ? name : address, certificate);
    },
  };
  if (tls.handshakeFirst !== true) return checked;
  return {
    ...checked,
    // Read at each dial.
    get signal(): AbortSignal {
      return sockets.signal();
    },
  };
}

const isLoopback = (address: string): boolean => /^(?:::ffff:)?127\.|^::1$/i.test(address);

/** Dials of the client's own, when the connection is lost. Its way of dialling is not in its interface. */
function followReconnects(connection: NatsConnection, sockets: DialSockets): Protocol | undefined {
  const { protocol } = connection as NatsConnection & { protocol?: Protocol };
  if (typeof protocol?.dial !== 'function') return undefined;
  const dial = protocol.dial.bind(protocol);
  protocol.dial = (server) => sockets.follow(() => dial(server));
  return protocol;
}

/**
 * The client lets some time pass between two tries of a server, by the clock of the machine: set back by an hour, it would
 * let pass an hour.
 */
function forgetFutureTries(protocol: Protocol | undefined): void {
  const now = systemClock.now();
  for (const server of protocol?.servers?.getServers() ?? []) {
    if (server.lastConnect > now) server.lastConnect = 0;
  }
}
