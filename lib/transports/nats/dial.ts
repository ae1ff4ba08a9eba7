import { connect, type ConnectionOptions, type NatsConnection } from 'nats';
import { EventsError } from '../../core/errors';
import { sanitize } from '../../core/names';
import { authenticatorOf } from './authentication';
import type { NatsTransportOptions } from './options';

const OLDEST_SERVER = [2, 10] as const;
export const PING_INTERVAL = 10_000;
/** Milliseconds in which one server must answer, at the first connection as at every other. */
const DIAL_TIMEOUT = 5000;
const FIRST_RETRY = 100;
const LAST_RETRY = 1000;
/** With fewer milliseconds left, no server can be expected to answer. */
const LAST_TRY = 40;

/**
 * The first connection to one of the servers, tried again until `connectTimeout` is over.
 * @param complain told of credentials that cannot be read, here and at each reconnect
 * @throws EventsError `connection_failed`, `unsupported_server`
 */
export async function dial(
  options: NatsTransportOptions,
  complain: (sentence: string) => void,
): Promise<NatsConnection> {
  const connection = await firstConnection(options, complain);
  const version = connection.info?.version ?? '0';
  if (isSupported(version)) return connection;
  await connection.close();
  throw new EventsError(
    'unsupported_server',
    `the server is nats-server ${version}; at least ${OLDEST_SERVER.join('.')} is needed`,
  );
}

async function firstConnection(
  options: NatsTransportOptions,
  complain: (sentence: string) => void,
): Promise<NatsConnection> {
  const { servers, connectTimeout } = options;
  const deadline = Date.now() + connectTimeout;
  let pause = FIRST_RETRY;
  let problem: unknown = new Error('the server did not answer');
  for (;;) {
    const attempt = connect(connectionOptions(options, complain));
    try {
      return await within(deadline - Date.now(), attempt);
    } catch (error) {
      // What a try said before is worth more than that the last one got no answer in time.
      if (Date.now() < deadline) problem = error;
      // One that succeeds after all is nobody's any more.
      attempt.then((late) => late.close()).catch(() => undefined);
    }
    const left = deadline - Date.now();
    if (left <= LAST_TRY) {
      throw new EventsError(
        'connection_failed',
        `no connection to ${servers.join(', ')} within ${connectTimeout} ms: ${(problem as Error).message}; ` +
          `is the server running, are \`url\` (NATS_URL) and \`connection\` right?`,
        { cause: problem, retryable: true },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(pause, left - LAST_TRY / 2)));
    pause = Math.min(pause * 2, LAST_RETRY);
  }
}

export const inboxPrefixOf = (app: string): string => `_INBOX.${sanitize(app)}`;

/** Rejects when there is no answer in so many milliseconds. */
export async function within<T>(timeout: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    const expire = (): void => reject(new Error(`the server did not answer within ${timeout} ms`));
    timer = setTimeout(expire, Math.max(1, timeout));
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
