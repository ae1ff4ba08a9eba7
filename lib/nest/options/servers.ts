import { EventsConfigurationError } from '../../core/errors';
import { quote } from '../../core/event-name';
import type { Setting } from '../../core/settings';

/** User and password, or token, as found in a url. */
export interface UserInfo {
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
}

/** Where the events go. */
export interface ResolvedServers {
  readonly transportKind: 'memory' | 'nats';
  /** `nats://host:port` or `tls://host:port` each, without credentials; empty with `memory`. */
  readonly servers: readonly string[];
  /** Name of the memory broker that the applications of this process share; absent: a private one. */
  readonly memoryName?: string;
  /** Whether the url asks for TLS. */
  readonly tls: boolean;
  /** Hosts that are not this machine. */
  readonly remoteHosts: readonly string[];
  readonly userInfo?: Setting<UserInfo>;
}

// Whether no part can be a password: no "@", and after a colon only a port. A password with a comma spoils its neighbours.
const QUOTABLE = /^(?:[a-z][a-z\d+.-]*:\/\/)?[^@:]*(?::\d*)?$/i;

interface Server {
  readonly scheme: 'nats' | 'tls';
  readonly hostname: string;
  readonly port: string;
  readonly userInfo?: UserInfo;
}

const DEFAULT_URL = 'nats://localhost:4222';
const ALLOWED = 'nats://host:port, tls://host:port, memory:// or memory://<name>';
const LOOPBACK =
  /^(?:(?:.+\.)?localhost\.?|127(?:\.\d{1,3}){3}|\[::1\]|\[::ffff:7f[\da-f]{2}:[\da-f]{1,4}\])$/i;

/** @throws EventsConfigurationError naming `url` or the variable; never quotes what may be a password */
export function resolveServers(setting: Setting<unknown> | undefined): ResolvedServers {
  const { value, from } = setting ?? { value: DEFAULT_URL, from: 'url' };
  const urls = listUrls(value, from);
  const shown = (url: string, i: number): string =>
    urls.every((each) => QUOTABLE.test(each)) ? quote(url) : `entry ${i + 1}`;
  const fail = (message: string): never => {
    throw new EventsConfigurationError(from, `\`${from}\` ${message}`);
  };

  if (urls.some((url) => /^memory:/i.test(url))) {
    if (urls.length > 1) fail('must be one memory:// url alone: it cannot be combined with other urls');
    const name = /^memory:\/\/([A-Za-z0-9_-]*)$/i.exec(urls[0]!)?.[1];
    if (name === undefined) {
      return fail(
        `must be memory:// or memory://<name> with a name of letters, digits, "_" and "-"; got ${shown(urls[0]!, 0)}`,
      );
    }
    const memoryName = name === '' ? {} : { memoryName: name };
    return {
      transportKind: 'memory',
      servers: Object.freeze([]),
      ...memoryName,
      tls: false,
      remoteHosts: [],
    };
  }

  const servers = urls.map((url, i) =>
    parseServer(url, (why) => fail(`must be ${ALLOWED}; ${shown(url, i)} ${why}`)),
  );
  const credentials = servers.flatMap(({ userInfo }) => userInfo ?? []);
  if (credentials.some((each) => JSON.stringify(each) !== JSON.stringify(credentials[0]))) {
    fail('has different credentials in its entries: all servers of one cluster are given the same');
  }
  return {
    transportKind: 'nats',
    servers: Object.freeze(servers.map(({ scheme, hostname, port }) => `${scheme}://${hostname}:${port}`)),
    tls: servers.some(({ scheme }) => scheme === 'tls'),
    remoteHosts: servers.map(({ hostname }) => hostname).filter((hostname) => !LOOPBACK.test(hostname)),
    ...(credentials[0] && { userInfo: { value: credentials[0], from, level: setting!.level } }),
  };
}

function listUrls(value: unknown, from: string): string[] {
  const entries: unknown[] = Array.isArray(value) ? value : [value];
  const urls = entries.flatMap((entry) => {
    if (typeof entry === 'string' && entry.trim() !== '') return entry.split(',').map((url) => url.trim());
    throw new EventsConfigurationError(from, `\`${from}\` must be text or a list of texts: ${ALLOWED}`);
  });
  const filled = urls.filter((url) => url !== '');
  if (filled.length > 0) return filled;
  throw new EventsConfigurationError(from, `\`${from}\` must name a server: ${ALLOWED}`);
}

function parseServer(text: string, fail: (why: string) => never): Server {
  const [, prefix, rest] = /^(?:([a-z][a-z\d+.-]*):\/\/)?(.*)$/is.exec(text)!;
  const scheme = (prefix ?? 'nats').toLowerCase();
  if (scheme === 'ws' || scheme === 'wss') {
    return fail('is a WebSocket, which is not supported: use the port for NATS clients');
  }
  if (scheme !== 'nats' && scheme !== 'tls') return fail('has another scheme');
  const encode = 'special characters in credentials must be percent-encoded';
  const url = /\s/.test(rest!) ? null : parseUrl(`nats://${rest}`);
  if (url === null || !/^(?:[A-Za-z\d._-]+|\[[\da-f:.]+\])$/i.test(url.hostname) || url.port === '0') {
    return fail(`is not a host and a port; ${encode}`);
  }
  if (!/^\/?$/.test(url.pathname) || url.search !== '' || url.hash !== '') {
    return fail(`has a path, a query or a fragment; ${encode}`);
  }
  const server = { scheme, hostname: url.hostname, port: url.port === '' ? '4222' : url.port } as const;
  if (url.username === '' && url.password === '') return server;
  // As every NATS client reads it: one part alone, without a colon, is a token.
  const isToken = !rest!.slice(0, rest!.lastIndexOf('@')).includes(':');
  try {
    const user = decodeURIComponent(url.username);
    const pass = decodeURIComponent(url.password);
    if (user === '') return fail('has a password without a user');
    return { ...server, userInfo: isToken ? { token: user } : { user, ...(pass !== '' && { pass }) } };
  } catch (error) {
    if (error instanceof URIError) return fail(`has a broken percent-encoding; ${encode}`);
    throw error;
  }
}

function parseUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
