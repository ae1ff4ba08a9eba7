import { inspect } from 'node:util';
import { defineEvent } from '../../lib/core/contract';
import { EventsConfigurationError } from '../../lib/core/errors';
import type { EventMiddleware } from '../../lib/core/middleware';
import type { EventTransport } from '../../lib/core/transport';
import type { EventsModuleOptions } from '../../lib/nest/options/options';
import { resolveOptions, type ResolvedOptions } from '../../lib/nest/options/resolve-options';
import type { Environment } from '../../lib/core/settings';

const DAY = 86_400_000;
const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----';
const SEED = `SU${'A'.repeat(56)}`;

class Created {}
class Deleted {}
const created = defineEvent('user.created', { schema: Created });
const deleted = defineEvent('user.deleted', { schema: Deleted });

class Audit implements EventMiddleware {
  consume(_context: unknown, next: () => Promise<unknown>): Promise<unknown> {
    return next();
  }
}

const transport: EventTransport = {
  connect: async () => undefined,
  publish: async () => ({ duplicate: false }),
  subscribe: async () => ({
    start: () => undefined,
    limit: () => undefined,
    stop: async () => undefined,
  }),
  status: () => ({ connected: true, problems: [] }),
  close: async () => undefined,
};

/** With a name, so that each test sets only what it is about. `unknown`: mistakes are what is tested. */
const resolve = (options: unknown = {}, env: Environment = {}): ResolvedOptions =>
  resolveOptions({ appName: 'users', ...(options as object) }, env);

function failureOf(resolving: () => unknown): EventsConfigurationError {
  try {
    resolving();
  } catch (error) {
    if (error instanceof EventsConfigurationError) return error;
    throw error;
  }
  throw new Error('resolved, but was to fail');
}

/** Every message names what carried the wrong value. */
function expectFailure(options: unknown, env: Environment, option: string, message: RegExp): void {
  const error = failureOf(() => resolve(options, env));
  expect(error.option).toBe(option);
  expect(error.code).toBe('invalid_configuration');
  expect(error.message).toContain(option);
  expect(error.message).toMatch(message);
}

describe('resolveOptions', () => {
  describe('defaults', () => {
    it('needs only the name of the service', () => {
      const limits = {
        storage: 'file',
        replicas: 1,
        maxBytes: -1,
        maxMessages: -1,
        duplicateWindow: 120_000,
        discard: 'new',
      };
      expect(resolveOptions({ appName: 'users' }, {})).toEqual({
        appName: 'users',
        transportKind: 'nats',
        servers: ['nats://localhost:4222'],
        clusterId: 'events',
        clientId: 'users',
        connection: { allowInsecurePassword: false },
        delivery: 'durable',
        retry: { attempts: 10, delay: 1000, backoff: 'exponential', maxDelay: 30_000, jitter: 0.2 },
        concurrency: 100,
        handlerTimeout: 30_000,
        publishTimeout: 10_000,
        connectTimeout: 10_000,
        shutdownTimeout: 10_000,
        maxRedrives: 5,
        consume: true,
        events: [],
        strict: false,
        middleware: [],
        stream: {
          manage: true,
          explicit: {},
          effective: { ...limits, maxAge: 7 * DAY },
          deadLetter: { explicit: {}, effective: { ...limits, maxAge: 30 * DAY } },
        },
        globalEnhancers: false,
        guardDenied: 'dead-letter',
        pendingEmits: { inFlight: 4096, waiting: 100_000, bytes: 256 * 1024 * 1024 },
        isGlobal: true,
      });
    });

    it('says how to set the name when there is none', () => {
      for (const options of [{}, { appName: undefined }]) {
        const error = failureOf(() => resolveOptions(options, { APP_NAME: ' ' }));
        expect(error.option).toBe('appName');
        expect(error.message).toMatch(/`appName`.*APP_NAME/);
      }
    });

    it('reads process.env unless told otherwise', () => {
      const before = process.env['APP_NAME'];
      process.env['APP_NAME'] = 'from-process';
      try {
        expect(resolveOptions({}).appName).toBe('from-process');
      } finally {
        if (before === undefined) delete process.env['APP_NAME'];
        else process.env['APP_NAME'] = before;
      }
    });
  });

  describe('options', () => {
    const authenticator = (): void => undefined;
    const audit = new Audit();
    it.each<[EventsModuleOptions, object]>([
      [{ appName: ' Users & Co. ' }, { appName: 'Users & Co.', clientId: 'Users & Co.' }],
      [{ clusterId: 'shop_1-a' }, { clusterId: 'shop_1-a' }],
      [{ clientId: 'Büro 7' }, { clientId: 'Büro 7' }],
      [{ delivery: 'ephemeral' }, { delivery: 'ephemeral' }],
      [{ retry: { attempts: 0 } }, { retry: { attempts: 0, delay: 1000, maxDelay: 30_000 } }],
      [
        { retry: { delay: 0, backoff: 'fixed', jitter: 0 } },
        { retry: { delay: 0, backoff: 'fixed', jitter: 0 } },
      ],
      [{ retry: { delay: 60_000 } }, { retry: { delay: 60_000, maxDelay: 60_000 } }],
      [{ concurrency: 1 }, { concurrency: 1 }],
      [{ handlerTimeout: 2 ** 31 - 1 }, { handlerTimeout: 2 ** 31 - 1 }],
      [{ publishTimeout: 119_999 }, { publishTimeout: 119_999 }],
      [{ connectTimeout: 1 }, { connectTimeout: 1 }],
      [{ shutdownTimeout: 5 }, { shutdownTimeout: 5 }],
      [{ maxRedrives: 0 }, { maxRedrives: 0 }],
      [{ maxRedrives: 1000 }, { maxRedrives: 1000 }],
      [{ consume: false }, { consume: false }],
      [{ strict: true }, { strict: true }],
      [{ globalEnhancers: true }, { globalEnhancers: true }],
      [{ isGlobal: false }, { isGlobal: false }],
      [{ events: [created, deleted] }, { events: [created, deleted] }],
      [{ events: { any: created, 'other.key': deleted } }, { events: [created, deleted] }],
      [{ middleware: [Audit, audit] }, { middleware: [Audit, audit] }],
      [{ transport }, { transportKind: 'custom', transport, servers: [] }],
      [{ connection: { user: 'u' } }, { connection: { user: 'u' } }],
      [{ connection: { user: 'u', pass: 'p' } }, { connection: { user: 'u', pass: 'p' } }],
      [{ connection: { token: 't' } }, { connection: { token: 't' } }],
      [{ connection: { creds: '/run/app.creds' } }, { connection: { creds: '/run/app.creds' } }],
      [{ connection: { nkey: SEED } }, { connection: { nkeySeed: SEED } }],
      [{ connection: { nkey: '/run/app.nk' } }, { connection: { nkeyFile: '/run/app.nk' } }],
      [{ connection: { authenticator } }, { connection: { authenticator: [authenticator] } }],
      [
        { connection: { authenticator: [authenticator] } },
        { connection: { authenticator: [authenticator] } },
      ],
      [{ connection: { tls: {} } }, { connection: { tls: {} } }],
      [
        { connection: { tls: { ca: PEM, cert: PEM, key: PEM } } },
        { connection: { tls: { ca: PEM, cert: PEM, key: PEM } } },
      ],
      [
        { connection: { tls: { caFile: 'a', certFile: 'b', keyFile: 'c', handshakeFirst: true } } },
        { connection: { tls: { caFile: 'a', certFile: 'b', keyFile: 'c', handshakeFirst: true } } },
      ],
    ])('%o', (options, expected) => {
      expect(resolve(options)).toMatchObject(expected);
    });

    it('takes undefined as not set, at every depth', () => {
      const options = {
        clusterId: undefined,
        url: undefined,
        events: undefined,
        middleware: undefined,
        transport: undefined,
        retry: { attempts: undefined },
        connection: { user: undefined, tls: undefined },
        stream: { maxAge: undefined, deadLetter: undefined },
      };
      expect(resolve(options)).toEqual(resolve());
    });
  });

  describe('environment', () => {
    it.each<[Environment, object]>([
      [{ APP_NAME: ' billing ' }, { appName: 'billing', clientId: 'billing' }],
      [{ NATS_URL: 'nats://a:1, tls://b ,c:3,' }, { servers: ['nats://a:1', 'tls://b:4222', 'nats://c:3'] }],
      [{ NATS_CLUSTER_ID: ' shop ' }, { clusterId: 'shop' }],
      [{ NATS_CLIENT_ID: 'pod-1' }, { clientId: 'pod-1' }],
      [{ NATS_USER: 'u', NATS_PASSWORD: ' p ' }, { connection: { user: 'u', pass: ' p ' } }],
      [{ NATS_TOKEN: 't' }, { connection: { token: 't' } }],
      [{ NATS_CREDS: ' /run/app.creds ' }, { connection: { creds: '/run/app.creds' } }],
      [{ NATS_NKEY: SEED }, { connection: { nkeySeed: SEED } }],
      [{ NATS_NKEY: './app.nk' }, { connection: { nkeyFile: './app.nk' } }],
      [{ NATS_CA: '/ca.pem' }, { connection: { tls: { caFile: '/ca.pem' } } }],
      [
        { NATS_CERT: '/c.pem', NATS_KEY: '/k.pem' },
        { connection: { tls: { certFile: '/c.pem', keyFile: '/k.pem' } } },
      ],
      [{ EVENT_DELIVERY: 'ephemeral' }, { delivery: 'ephemeral' }],
      [{ EVENT_RETRY_ATTEMPTS: '3' }, { retry: { attempts: 3, delay: 1000 } }],
      [{ EVENT_RETRY_DELAY: '50' }, { retry: { attempts: 10, delay: 50 } }],
      [{ EVENT_RETRY_DELAY: '45000' }, { retry: { delay: 45_000, maxDelay: 45_000 } }],
      [{ EVENT_CONCURRENCY: ' 7 ' }, { concurrency: 7 }],
      [{ EVENT_HANDLER_TIMEOUT: '1' }, { handlerTimeout: 1 }],
      [{ EVENT_PUBLISH_TIMEOUT: '2' }, { publishTimeout: 2 }],
      [{ EVENT_CONNECT_TIMEOUT: '3' }, { connectTimeout: 3 }],
      [{ EVENT_SHUTDOWN_TIMEOUT: '4' }, { shutdownTimeout: 4 }],
      [{ EVENT_CONSUME: 'false' }, { consume: false }],
      [{ EVENT_CONSUME: '0' }, { consume: false }],
      [{ EVENT_CONSUME: 'TRUE' }, { consume: true }],
      [{ EVENT_CONSUME: '1' }, { consume: true }],
    ])('%o', (env, expected) => {
      expect(resolveOptions('APP_NAME' in env ? {} : { appName: 'users' }, env)).toMatchObject(expected);
    });

    const variables = [
      'APP_NAME NATS_URL NATS_CLUSTER_ID NATS_CLIENT_ID NATS_USER NATS_PASSWORD NATS_TOKEN NATS_CREDS NATS_NKEY',
      'NATS_CA NATS_CERT NATS_KEY EVENT_DELIVERY EVENT_RETRY_ATTEMPTS EVENT_RETRY_DELAY EVENT_CONCURRENCY',
      'EVENT_HANDLER_TIMEOUT EVENT_PUBLISH_TIMEOUT EVENT_CONNECT_TIMEOUT EVENT_SHUTDOWN_TIMEOUT EVENT_CONSUME',
    ].flatMap((line) => line.split(' '));
    it.each(['', '  '])('takes variables of %j as not set', (blank) => {
      expect(resolve({}, Object.fromEntries(variables.map((name) => [name, blank])))).toEqual(resolve());
    });

    it.each<[EventsModuleOptions, Environment, object]>([
      [{ appName: 'a' }, { APP_NAME: 'b' }, { appName: 'a' }],
      [{ url: 'nats://a:1' }, { NATS_URL: 'ws://b' }, { servers: ['nats://a:1'] }],
      [{ clusterId: 'a' }, { NATS_CLUSTER_ID: 'b' }, { clusterId: 'a' }],
      [{ clientId: 'a' }, { NATS_CLIENT_ID: 'b' }, { clientId: 'a' }],
      [{ delivery: 'durable' }, { EVENT_DELIVERY: 'wrong' }, { delivery: 'durable' }],
      [
        { retry: { attempts: 1 } },
        { EVENT_RETRY_ATTEMPTS: '2', EVENT_RETRY_DELAY: '3' },
        { retry: { attempts: 1, delay: 3 } },
      ],
      [{ concurrency: 1 }, { EVENT_CONCURRENCY: '2' }, { concurrency: 1 }],
      [{ handlerTimeout: 1 }, { EVENT_HANDLER_TIMEOUT: '2' }, { handlerTimeout: 1 }],
      [{ publishTimeout: 1 }, { EVENT_PUBLISH_TIMEOUT: '2' }, { publishTimeout: 1 }],
      [{ connectTimeout: 1 }, { EVENT_CONNECT_TIMEOUT: '2' }, { connectTimeout: 1 }],
      [{ shutdownTimeout: 1 }, { EVENT_SHUTDOWN_TIMEOUT: '2' }, { shutdownTimeout: 1 }],
      [{ consume: true }, { EVENT_CONSUME: 'false' }, { consume: true }],
      [{ clusterId: undefined }, { NATS_CLUSTER_ID: 'b' }, { clusterId: 'b' }],
      [{ connection: { tls: { ca: PEM } } }, { NATS_CA: '/ca.pem' }, { connection: { tls: { ca: PEM } } }],
      [
        { connection: { tls: { caFile: '/a' } } },
        { NATS_CA: '/b' },
        { connection: { tls: { caFile: '/a' } } },
      ],
    ])('%o beats %o', (options, env, expected) => {
      expect(resolve(options, env)).toMatchObject(expected);
    });
  });

  describe('url', () => {
    it.each<[string | string[], string[]]>([
      ['nats://h', ['nats://h:4222']],
      ['h', ['nats://h:4222']],
      ['h:80', ['nats://h:80']],
      ['10.0.0.1:4223', ['nats://10.0.0.1:4223']],
      ['[::1]:4222', ['nats://[::1]:4222']],
      ['NATS://h:4222/', ['nats://h:4222']],
      ['tls://h', ['tls://h:4222']],
      ['nats://a,nats://b', ['nats://a:4222', 'nats://b:4222']],
      [
        ['nats://a', 'b:1'],
        ['nats://a:4222', 'nats://b:1'],
      ],
    ])('%j', (url, servers) => {
      expect(resolve({ url })).toMatchObject({ transportKind: 'nats', servers });
    });

    it('selects the embedded broker, private or shared under a name', () => {
      expect(resolve({ url: 'memory://' })).toMatchObject({ transportKind: 'memory', servers: [] });
      expect(resolve({ url: 'memory://' })).not.toHaveProperty('memoryName');
      expect(resolve({}, { NATS_URL: 'memory://shop_1' })).toMatchObject({
        transportKind: 'memory',
        memoryName: 'shop_1',
      });
    });

    it('requires TLS of every server once one url says tls://', () => {
      expect(resolve({ url: ['tls://a', 'b'] }).connection.tls).toEqual({});
      expect(resolve({ url: ['a', 'b'] }).connection.tls).toBeUndefined();
    });

    it.each<[unknown, RegExp]>([
      ['ws://h:8080', /"ws:\/\/h:8080" is a WebSocket, which is not supported/],
      ['wss://h', /WebSocket/],
      ['http://h', /must be nats:\/\/host:port, tls:\/\/.*memory:\/\/.*"http:\/\/h" has another scheme/],
      ['nats://', /not a host/],
      ['nats://:4222', /not a host/],
      ['nats://h:0', /not a host and a port/],
      ['nats://h:99999', /not a host and a port/],
      ['nats://a b', /not a host/],
      ['nats://a\nb', /not a host/],
      ['nats://h%0d', /not a host/],
      ['::1', /not a host/],
      ['nats://h/path', /"nats:\/\/h\/path" has a path/],
      ['nats://h?x=1', /query/],
      ['', /list of texts/],
      [',', /must name a server/],
      [[], /must name a server/],
      [['nats://a', ''], /list of texts/],
      [['nats://a', 7], /list of texts/],
      [4222, /list of texts/],
      [null, /list of texts/],
      [['memory://', 'nats://h'], /one memory:\/\/ url alone/],
      ['memory://a,memory://b', /one memory:\/\/ url alone/],
      ['memory://a.b', /"memory:\/\/a\.b"/],
      ['memory://a/b', /letters, digits/],
      ['memory:a', /memory:\/\/<name>/],
    ])('refuses %j', (url, message) => {
      expectFailure({ url }, {}, 'url', message);
    });

    it('names the variable when the url is from there', () => {
      expectFailure({}, { NATS_URL: 'http://h' }, 'NATS_URL', /http/);
    });
  });

  describe('authentication', () => {
    it.each<[string, object]>([
      ['nats://u:p@localhost', { user: 'u', pass: 'p' }],
      ['nats://u%40x:p%2F%3A%20@localhost', { user: 'u@x', pass: 'p/: ' }],
      ['nats://t0k%3Aen@localhost', { token: 't0k:en' }],
      ['nats://u:@localhost', { user: 'u' }],
      ['u:p@localhost:1', { user: 'u', pass: 'p' }],
      ['nats://u:p@127.0.0.1,nats://u:p@[::1]', { user: 'u', pass: 'p' }],
      ['nats://u:p@localhost,nats://localhost:2', { user: 'u', pass: 'p' }],
    ])('moves the credentials out of %s', (url, credentials) => {
      for (const { connection, servers } of [resolve({ url }), resolve({}, { NATS_URL: url })]) {
        expect(connection).toEqual({ ...credentials, allowInsecurePassword: false });
        expect(servers.join()).not.toContain('@');
      }
    });

    it.each<[string, EventsModuleOptions, Environment, object]>([
      [
        'an explicit token hides a user',
        { connection: { token: 't' } },
        { NATS_USER: 'u', NATS_PASSWORD: 'p' },
        { token: 't' },
      ],
      [
        'an explicit user takes a password',
        { connection: { user: 'a' } },
        { NATS_USER: 'b', NATS_PASSWORD: 'p' },
        { user: 'a', pass: 'p' },
      ],
      ['an explicit user hides a token', { connection: { user: 'a' } }, { NATS_TOKEN: 't' }, { user: 'a' }],
      [
        'an explicit user hides a url',
        { connection: { user: 'a', pass: 'x' } },
        { NATS_URL: 'u:p@localhost' },
        { user: 'a', pass: 'x' },
      ],
      [
        'an explicit url hides a user',
        { url: 'u:p@localhost' },
        { NATS_USER: 'x', NATS_PASSWORD: 'y' },
        { user: 'u', pass: 'p' },
      ],
      [
        'an explicit user of a url takes a password',
        { url: 'u:@localhost' },
        { NATS_PASSWORD: 'y' },
        { user: 'u', pass: 'y' },
      ],
      [
        'saying the same twice is fine',
        {},
        { NATS_URL: 'u:p@localhost', NATS_USER: 'u', NATS_PASSWORD: 'p' },
        { user: 'u', pass: 'p' },
      ],
    ])('%s', (_title, options, env, credentials) => {
      expect(resolve(options, env).connection).toEqual({ ...credentials, allowInsecurePassword: false });
    });

    it.each<[EventsModuleOptions, Environment, string, RegExp]>([
      [
        { connection: { user: 'u', token: 't' } },
        {},
        'connection.token',
        /conflicts with `connection\.user`.*one method/,
      ],
      [
        { connection: { creds: 'a', nkey: 'b' } },
        {},
        'connection.nkey',
        /conflicts with `connection\.creds`/,
      ],
      [
        { connection: { token: 't', authenticator: () => undefined } },
        {},
        'connection.authenticator',
        /connection\.token/,
      ],
      [{}, { NATS_USER: 'u', NATS_TOKEN: 't' }, 'NATS_TOKEN', /conflicts with `NATS_USER`/],
      [
        { url: 'u:p@localhost', connection: { user: 'x' } },
        {},
        'connection.user',
        /conflicts with `url`.*different user/,
      ],
      [
        { url: 'u:p@localhost', connection: { pass: 'x' } },
        {},
        'connection.pass',
        /conflicts with `url`.*different pass/,
      ],
      [
        { url: 'a@localhost', connection: { token: 'x' } },
        {},
        'connection.token',
        /conflicts with `url`.*different token/,
      ],
      [{ url: 'a@localhost', connection: { creds: 'x' } }, {}, 'url', /conflicts with `connection\.creds`/],
      [{}, { NATS_URL: 'u:p@localhost', NATS_USER: 'x' }, 'NATS_USER', /conflicts with `NATS_URL`/],
      [{ url: ['u:p@localhost', 'u:q@localhost'] }, {}, 'url', /different credentials/],
      [{ connection: { pass: 'p' } }, {}, 'connection.pass', /needs a user/],
      [{}, { NATS_PASSWORD: 'p' }, 'NATS_PASSWORD', /needs a user.*NATS_USER/],
      [{ url: ':p@localhost' }, {}, 'url', /password without a user/],
      [
        { connection: { tls: { ca: PEM, caFile: '/a' } } },
        {},
        'connection.tls.caFile',
        /conflicts with `connection\.tls\.ca`/,
      ],
      [{ connection: { tls: { cert: PEM } } }, {}, 'connection.tls.cert', /needs its key/],
      [{ connection: { tls: { keyFile: '/k' } } }, {}, 'connection.tls.keyFile', /needs its certificate/],
      [{}, { NATS_CERT: '/c' }, 'NATS_CERT', /needs its key.*NATS_KEY/],
      [{}, { NATS_KEY: '/k' }, 'NATS_KEY', /needs its certificate.*NATS_CERT/],
    ])('refuses %o with %o', expectFailure);

    describe('without TLS', () => {
      it.each<[EventsModuleOptions, Environment, string]>([
        [{ url: 'nats://db.example.com', connection: { user: 'u', pass: 'p' } }, {}, 'connection.pass'],
        [{ url: 'nats://db.example.com', connection: { token: 't' } }, {}, 'connection.token'],
        [{ url: 'nats://db.example.com' }, { NATS_USER: 'u', NATS_PASSWORD: 'p' }, 'NATS_PASSWORD'],
        [{ url: 'nats://db.example.com' }, { NATS_TOKEN: 't' }, 'NATS_TOKEN'],
        [{ url: 'nats://u:p@db.example.com' }, {}, 'url'],
        [{}, { NATS_URL: 'localhost,t@db.example.com' }, 'NATS_URL'],
        [{ url: 'db.example.com,localhost', connection: { token: 't' } }, {}, 'connection.token'],
      ])('refuses to send a password to another host: %o %o', (options, env, option) => {
        expectFailure(
          options,
          env,
          option,
          /to db\.example\.com in clear text.*tls:\/\/.*allowInsecurePassword/,
        );
      });

      it.each(['127.0.0.1.example.com', 'localhost.example.com', '128.0.0.1', '[2001:db8::1]', '0.0.0.0'])(
        'does not take %s for this machine',
        (url) => expectFailure({ url, connection: { token: 't' } }, {}, 'connection.token', /clear text/),
      );

      it.each<EventsModuleOptions>([
        { url: 'nats://h', connection: { token: 't', allowInsecurePassword: true } },
        { url: 'nats://h', connection: { token: 't', tls: {} } },
        { url: 'tls://h', connection: { token: 't' } },
        { url: 'tls://u:p@h' },
        { url: 'nats://h', connection: { user: 'u' } },
        { url: 'nats://h', connection: { nkey: SEED } },
        { url: 'nats://h', connection: { creds: '/a' } },
        { url: 'nats://localhost', connection: { token: 't' } },
        { url: 'nats://app.localhost', connection: { token: 't' } },
        { url: 'nats://127.0.0.9', connection: { token: 't' } },
        { url: 'nats://[::1]', connection: { token: 't' } },
        { url: 'nats://[::ffff:127.0.0.1]', connection: { token: 't' } },
        { url: 'memory://', connection: { token: 't' } },
        { transport, url: 'nats://h', connection: { token: 't' } },
      ])('accepts %o', (options) => {
        expect(() => resolve(options)).not.toThrow();
      });
    });

    it('leaves the environment of a connection unread where there is none', () => {
      const env = { NATS_URL: 'ws://h', NATS_USER: 'u', NATS_TOKEN: 't', NATS_CERT: '/c' };
      for (const options of [{ transport }, { url: 'memory://' }]) {
        expect(resolve(options, env).connection).toEqual({ allowInsecurePassword: false });
      }
    });
  });

  describe('secrets', () => {
    const S = 's3cr3t';
    it.each<[unknown, Environment]>([
      [{ url: `http://u:${S}@h` }, {}],
      [{ url: `nats://u:${S}#@h` }, {}],
      [{ url: `nats://u:${S}/@h` }, {}],
      [{ url: `nats://u:${S}%zz@h` }, {}],
      [{ url: `nats://u:a,${S}@h` }, {}],
      [{ url: `nats://u:${S},x@h` }, {}],
      [{ url: `nats://u:${S}` }, {}],
      [{ url: [`nats://u:${S}@h`, 'ws://h'] }, {}],
      [{ url: [`nats://u:${S}@h`, 'nats://u:x@h'] }, {}],
      [{ url: `memory://u:${S}@x` }, {}],
      [{ url: `nats://u:${S}@h` }, {}],
      [{}, { NATS_URL: `nats://${S}@h` }],
      [{ url: 'h', connection: { user: 'u', pass: S } }, {}],
      [{ connection: { pass: [S] } }, {}],
      [{ connection: { pass: S } }, {}],
      [{ connection: { token: { S } } }, {}],
      [{ connection: { token: S, user: 'u' } }, {}],
      [{ url: `u:${S}@localhost`, connection: { user: 'u', pass: 'x' } }, {}],
      [{ connection: { creds: `-----BEGIN NATS USER JWT-----\n${S}` } }, {}],
      [{ connection: { nkey: `SU${S.toUpperCase().replace(/\d/g, 'A')}${'A'.repeat(30)}` } }, {}],
      [{ connection: { tls: { key: S } } }, {}],
      [{ connection: { tls: { keyFile: `-----BEGIN KEY-----${S}` } } }, {}],
      [{}, { NATS_KEY: `-----BEGIN KEY-----\n${S}` }],
    ])('are not in the message about %o %o', (options, env) => {
      const { message, stack } = failureOf(() => resolve(options, env));
      for (const told of [message, String(stack)]) expect(told).not.toMatch(/s3cr3t|SASCRAT/i);
    });

    it('are not printed with the resolved options', () => {
      const { connection, ...rest } = resolve({
        connection: { user: 'u', pass: S, tls: { cert: PEM, key: `${PEM}${S}` } },
      });
      for (const printed of [inspect({ connection, rest }, { depth: 9 }), JSON.stringify({ connection })]) {
        expect(printed).toContain('methods');
        expect(printed).not.toContain(S);
      }
      expect(connection.pass).toBe(S);
    });
  });

  describe('stream', () => {
    it('keeps apart what the service set and what a stream is created with', () => {
      const { stream } = resolve({
        stream: {
          maxAge: DAY,
          maxBytes: 1024,
          replicas: 3,
          manage: 'update',
          deadLetter: { maxMessages: 5 },
        },
      });
      expect(stream.manage).toBe('update');
      expect(stream.explicit).toEqual({ maxAge: DAY, maxBytes: 1024, replicas: 3 });
      expect(stream.effective).toMatchObject({
        maxAge: DAY,
        maxBytes: 1024,
        replicas: 3,
        storage: 'file',
        maxMessages: -1,
      });
      expect(stream.deadLetter.explicit).toEqual({ maxMessages: 5 });
    });

    it('makes dead letters as safe as events, unless told otherwise', () => {
      const { effective } = resolve({ stream: { replicas: 3, storage: 'memory', maxBytes: 1 } }).stream
        .deadLetter;
      expect(effective).toMatchObject({ replicas: 3, storage: 'memory', maxBytes: -1, maxAge: 30 * DAY });
      const told = { replicas: 1, storage: 'file', maxAge: 0, maxBytes: -1, discard: 'new' };
      expect(resolve({ stream: { replicas: 3, deadLetter: told } }).stream.deadLetter).toMatchObject({
        explicit: told,
        effective: told,
      });
    });

    it('shortens the default duplicate window to the age of the events', () => {
      expect(resolve({ stream: { maxAge: 60_000 } }).stream.effective.duplicateWindow).toBe(60_000);
      expect(resolve({ stream: { maxAge: 60_000 } }).stream.explicit).toEqual({ maxAge: 60_000 });
      expect(resolve({ stream: { maxAge: 0 } }).stream.effective).toMatchObject({
        maxAge: 0,
        duplicateWindow: 120_000,
      });
    });
  });

  describe('wrong values', () => {
    const anonymous = { name: 'user.created' };
    it.each<[unknown, Environment, string, RegExp]>([
      [{ appName: '  ' }, {}, 'appName', /not blank; got " {2}"/],
      [{ appName: 7 }, {}, 'appName', /must be text.*got 7/],
      [{ clusterId: 'a.b' }, {}, 'clusterId', /one token.*got "a\.b"/],
      [{ clusterId: '' }, {}, 'clusterId', /one token/],
      [{ clusterId: 'a-retry' }, {}, 'clusterId', /"-retry"/],
      [{ clusterId: 'a-dlq' }, {}, 'clusterId', /"-dlq"/],
      [{ clusterId: '_INBOX' }, {}, 'clusterId', /one token/],
      [{ clusterId: 'a'.repeat(101) }, {}, 'clusterId', /at most 100/],
      [{ clusterId: 'a\n' }, {}, 'clusterId', /one token/],
      [{}, { NATS_CLUSTER_ID: 'a b' }, 'NATS_CLUSTER_ID', /got "a b"/],
      [{ clientId: 'a\r\nb' }, {}, 'clientId', /printable/],
      [{ clientId: ' ' }, {}, 'clientId', /printable/],
      [{}, { NATS_CLIENT_ID: 'a\u0000' }, 'NATS_CLIENT_ID', /printable/],
      [{ delivery: 'fast' }, {}, 'delivery', /'durable' or 'ephemeral'; got "fast"/],
      [{}, { EVENT_DELIVERY: 'Durable' }, 'EVENT_DELIVERY', /'durable' or 'ephemeral'/],
      [{ retry: { attempts: 1.5 } }, {}, 'retry.attempts', /an integer from 0 to 1000; got 1\.5/],
      [{ retry: { attempts: -1 } }, {}, 'retry.attempts', /got -1/],
      [{ retry: { attempts: 1001 } }, {}, 'retry.attempts', /got 1001/],
      [{ retry: { attempts: Infinity } }, {}, 'retry.attempts', /got Infinity/],
      [{ retry: { attempts: '3' } }, {}, 'retry.attempts', /got "3"/],
      [{}, { EVENT_RETRY_ATTEMPTS: 'many' }, 'EVENT_RETRY_ATTEMPTS', /an integer.*got "many"/],
      [{}, { EVENT_RETRY_ATTEMPTS: '1e2' }, 'EVENT_RETRY_ATTEMPTS', /got "1e2"/],
      [{}, { EVENT_RETRY_ATTEMPTS: '-1' }, 'EVENT_RETRY_ATTEMPTS', /got -1/],
      [{ retry: { delay: -1 } }, {}, 'retry.delay', /whole milliseconds from 0/],
      [{}, { EVENT_RETRY_DELAY: '1s' }, 'EVENT_RETRY_DELAY', /whole milliseconds.*got "1s"/],
      [{ retry: { delay: 8 * DAY } }, {}, 'retry.delay', /to 604800000/],
      [{ retry: { maxDelay: NaN } }, {}, 'retry.maxDelay', /got NaN/],
      [
        { retry: { delay: 200, maxDelay: 100 } },
        {},
        'retry.maxDelay',
        /100 ms.*at least `retry\.delay` \(200 ms\)/,
      ],
      [
        { retry: { maxDelay: 100 } },
        { EVENT_RETRY_DELAY: '200' },
        'retry.maxDelay',
        /at least `EVENT_RETRY_DELAY`/,
      ],
      [{ retry: { jitter: 1.1 } }, {}, 'retry.jitter', /0 to 1; got 1\.1/],
      [{ retry: { jitter: NaN } }, {}, 'retry.jitter', /got NaN/],
      [{ retry: { backoff: 'linear' } }, {}, 'retry.backoff', /'exponential' or 'fixed'; got "linear"/],
      [{ retry: 3 }, {}, 'retry', /an object; got 3/],
      [{ retry: [1] }, {}, 'retry', /an object; got a list/],
      [{ retry: null }, {}, 'retry', /an object; got null/],
      [{ concurrency: 0 }, {}, 'concurrency', /1 to 10000; got 0/],
      [{ concurrency: 10_001 }, {}, 'concurrency', /got 10001/],
      [{}, { EVENT_CONCURRENCY: '0' }, 'EVENT_CONCURRENCY', /1 to 10000; got 0/],
      [{ handlerTimeout: 0 }, {}, 'handlerTimeout', /from 1 to 2147483647; got 0/],
      [{ handlerTimeout: 2 ** 31 }, {}, 'handlerTimeout', /2147483647/],
      [{}, { EVENT_HANDLER_TIMEOUT: '2147483648' }, 'EVENT_HANDLER_TIMEOUT', /2147483647/],
      [{ connectTimeout: 1.5 }, {}, 'connectTimeout', /got 1\.5/],
      [{}, { EVENT_CONNECT_TIMEOUT: '0' }, 'EVENT_CONNECT_TIMEOUT', /got 0/],
      [{ shutdownTimeout: () => 1 }, {}, 'shutdownTimeout', /got a function/],
      [{ maxRedrives: -1 }, {}, 'maxRedrives', /0 to 1000; got -1/],
      [{ maxRedrives: 1001 }, {}, 'maxRedrives', /got 1001/],
      [{ maxRedrives: 1.5 }, {}, 'maxRedrives', /got 1.5/],
      [{}, { EVENT_SHUTDOWN_TIMEOUT: 'no' }, 'EVENT_SHUTDOWN_TIMEOUT', /got "no"/],
      [{ publishTimeout: 0 }, {}, 'publishTimeout', /got 0/],
      [
        { publishTimeout: 120_000 },
        {},
        'publishTimeout',
        /smaller than `stream\.duplicateWindow` \(120000 ms\)/,
      ],
      [{}, { EVENT_PUBLISH_TIMEOUT: '120000' }, 'EVENT_PUBLISH_TIMEOUT', /`stream\.duplicateWindow`/],
      [
        { publishTimeout: 500, stream: { duplicateWindow: 500 } },
        {},
        'publishTimeout',
        /\(500 ms\).*`stream\.duplicateWindow` \(500 ms\)/,
      ],
      [{ stream: { duplicateWindow: 5000 } }, {}, 'stream.duplicateWindow', /`publishTimeout` \(10000 ms\)/],
      [
        { stream: { maxAge: 5000 } },
        {},
        'stream.maxAge',
        /`publishTimeout` \(10000 ms\).*`stream\.maxAge` \(5000 ms\)/,
      ],
      [{ consume: 'false' }, {}, 'consume', /true or false; got "false"/],
      [{}, { EVENT_CONSUME: 'yes' }, 'EVENT_CONSUME', /true or false; got "yes"/],
      [{}, { EVENT_CONSUME: 'constructor' }, 'EVENT_CONSUME', /got "constructor"/],
      [{ strict: 1 }, {}, 'strict', /true or false/],
      [{ globalEnhancers: null }, {}, 'globalEnhancers', /got null/],
      [{ isGlobal: 'no' }, {}, 'isGlobal', /true or false/],
      [{ events: created }, {}, 'events', /a list or a record/],
      [{ events: new Set([created]) }, {}, 'events', /a list or a record/],
      [{ events: 'user.created' }, {}, 'events', /a list or a record/],
      [{ events: [created, anonymous] }, {}, 'events[1]', /made by defineEvent/],
      [{ events: [undefined] }, {}, 'events[0]', /defineEvent; got undefined/],
      [{ events: { first: { ...created, name: 'a b' } } }, {}, 'events.first', /defineEvent/],
      [
        { events: [created, created] },
        {},
        'events[1]',
        /`events\[0\]` are both contracts of event 'user\.created'/,
      ],
      [{ events: { a: created, b: created } }, {}, 'events.b', /`events\.a`/],
      [{ middleware: Audit }, {}, 'middleware', /a list.*got a function/],
      [
        { middleware: [Audit, () => undefined] },
        {},
        'middleware[1]',
        /class.*`publish` or `consume`; got a function/,
      ],
      [{ middleware: [{}] }, {}, 'middleware[0]', /got an object/],
      [{ middleware: [{ publish: 1, consume: () => 1 }] }, {}, 'middleware[0]', /a function `publish`/],
      [{ middleware: [undefined] }, {}, 'middleware[0]', /got undefined/],
      [
        { transport: { ...transport, close: undefined } },
        {},
        'transport',
        /connect, publish, subscribe, status and close/,
      ],
      [{ transport, url: 'ws://h' }, {}, 'url', /WebSocket/],
      [{ connection: 'u:p' }, {}, 'connection', /an object/],
      [{ connection: { user: ' ' } }, {}, 'connection.user', /not blank/],
      [{ connection: { pass: '' } }, {}, 'connection.pass', /not empty; got a string \(not shown\)/],
      [{ connection: { token: 1 } }, {}, 'connection.token', /got a number \(not shown\)/],
      [{ connection: { creds: '' } }, {}, 'connection.creds', /path of a file/],
      [{ connection: { nkey: SEED.slice(1) } }, {}, 'connection.nkey', /path.*whole seed/],
      [{}, { NATS_NKEY: SEED.slice(0, 40) }, 'NATS_NKEY', /path.*whole seed/],
      [{}, { NATS_CA: PEM }, 'NATS_CA', /path of a file, not its content/],
      [{ connection: { authenticator: [] } }, {}, 'connection.authenticator', /authenticator of nats\.js/],
      [{ connection: { tls: true } }, {}, 'connection.tls', /an object; got true/],
      [{ connection: { tls: { ca: '/ca.pem' } } }, {}, 'connection.tls.ca', /PEM text.*`caFile`/],
      [{ connection: { tls: { handshakeFirst: 1 } } }, {}, 'connection.tls.handshakeFirst', /true or false/],
      [
        { connection: { allowInsecurePassword: 'yes' } },
        {},
        'connection.allowInsecurePassword',
        /true or false/,
      ],
      [{ stream: [] }, {}, 'stream', /an object/],
      [{ stream: { storage: 'disk' } }, {}, 'stream.storage', /'file' or 'memory'; got "disk"/],
      [{ stream: { replicas: 0 } }, {}, 'stream.replicas', /1 to 5; got 0/],
      [{ stream: { replicas: 6 } }, {}, 'stream.replicas', /got 6/],
      [{ stream: { maxAge: 99 } }, {}, 'stream.maxAge', /from 100 .*or 0 for no limit; got 99/],
      [{ stream: { maxBytes: 0 } }, {}, 'stream.maxBytes', /or -1 for no limit; got 0/],
      [{ stream: { maxMessages: -2 } }, {}, 'stream.maxMessages', /got -2/],
      [{ stream: { duplicateWindow: 0 } }, {}, 'stream.duplicateWindow', /from 100/],
      [
        { stream: { maxAge: 60_000, duplicateWindow: 60_001 } },
        {},
        'stream.duplicateWindow',
        /not exceed `stream\.maxAge`/,
      ],
      [
        { stream: { discard: 'old' } },
        {},
        'stream.discard',
        /'new': another policy would drop stored events/,
      ],
      [{ stream: { manage: 'never' } }, {}, 'stream.manage', /true or false or 'update'/],
      [{ stream: { deadLetter: false } }, {}, 'stream.deadLetter', /an object/],
      [{ stream: { deadLetter: { replicas: 9 } } }, {}, 'stream.deadLetter.replicas', /1 to 5; got 9/],
      [
        { stream: { deadLetter: { maxAge: 100, duplicateWindow: 200 } } },
        {},
        'stream.deadLetter.duplicateWindow',
        /`stream\.deadLetter\.maxAge`/,
      ],
    ])('refuses %o with %o', expectFailure);

    it.each([null, 'users', [], 7])('refuses %j for all the options', (options) => {
      const error = failureOf(() => resolveOptions(options as unknown as EventsModuleOptions, {}));
      expect(error.option).toBe('options');
      expect(error.message).toMatch(/an object/);
    });
  });

  describe('unknown options', () => {
    it.each<[unknown, string, RegExp]>([
      [{ appname: 'a' }, 'appname', /did you mean `appName`\?/],
      [{ clusterID: 'a' }, 'clusterID', /did you mean `clusterId`\?/],
      [{ concurency: 1 }, 'concurency', /`concurrency`/],
      [{ concurency: undefined }, 'concurency', /`concurrency`/],
      [{ retry: { attemps: 1 } }, 'retry.attemps', /did you mean `retry\.attempts`\?/],
      [{ retry: { dealy: 1 } }, 'retry.dealy', /`retry\.delay`/],
      [{ connection: { password: 'p' } }, 'connection.password', /did you mean `connection\.pass`\?/],
      [{ connection: { username: 'p' } }, 'connection.username', /did you mean `connection\.user`\?/],
      [{ connection: { tls: { keyfile: 'p' } } }, 'connection.tls.keyfile', /`connection\.tls\.keyFile`/],
      [{ stream: { replica: 1 } }, 'stream.replica', /`stream\.replicas`/],
      [{ stream: { deadLetter: { maxage: 1 } } }, 'stream.deadLetter.maxage', /`stream\.deadLetter\.maxAge`/],
      [{ stream: { deadLetter: { manage: true } } }, 'stream.deadLetter.manage', /unknown option/],
      [{ servers: 'a' }, 'servers', /known are appName, url, /],
      [{ toString: 1 }, 'toString', /unknown option/],
      [JSON.parse('{"retry":{"__proto__":{"attempts":1}}}'), 'retry.__proto__', /unknown option/],
    ])('%o', (options, option, message) => {
      expectFailure(options, {}, option, message);
    });
  });

  describe('the result', () => {
    const options = {
      appName: 'users',
      url: ['nats://localhost'],
      retry: { attempts: 1 },
      connection: { user: 'u', tls: { caFile: '/ca' } },
      events: [created],
      middleware: [new Audit()],
      stream: { maxAge: DAY, deadLetter: { maxAge: DAY } },
      transport: undefined as EventTransport | undefined,
    };

    it('does not change with the options it was made from', () => {
      const resolved = resolveOptions(options, {});
      const before = inspect(resolved, { depth: 9 });
      options.url.push('nats://b');
      options.retry.attempts = 5;
      options.connection.tls.caFile = '/other';
      options.events.pop();
      options.middleware.pop();
      options.stream.maxAge = 1;
      options.stream.deadLetter.maxAge = 1;
      expect(inspect(resolved, { depth: 9 })).toBe(before);
      expect(resolved.connection.tls).toEqual({ caFile: '/ca' });
    });

    it('is frozen throughout, without freezing what belongs to others', () => {
      const middleware = new Audit();
      const authenticator = (): void => undefined;
      const given = {
        middleware: [middleware],
        events: [{ ...created }],
        connection: { authenticator, tls: {} },
        retry: {},
      };
      const resolved = resolve({ ...given, transport: { ...transport } });
      const mine = (value: unknown): object[] =>
        typeof value !== 'object' || value === null ? [] : [value, ...Object.values(value).flatMap(mine)];
      const { middleware: stages, events, transport: own, ...rest } = resolved;
      const parts = [resolved, stages, events, ...Object.values(rest).flatMap(mine)];
      for (const part of parts) expect(Object.isFrozen(part)).toBe(true);
      for (const foreign of [
        middleware,
        authenticator,
        given.events[0],
        own,
        given.connection,
        given.retry,
      ]) {
        expect(Object.isFrozen(foreign)).toBe(false);
      }
    });

    it('reads each option once', () => {
      let reads = 0;
      const once = {
        appName: 'users',
        get concurrency(): number {
          reads++;
          return 3;
        },
      };
      expect(resolveOptions(once, {}).concurrency).toBe(3);
      expect(reads).toBe(1);
    });
  });
});
