import { inspect } from 'node:util';
import { EventsConfigurationError } from '../../core/errors';
import type { Authenticator, ConnectionOptions, TlsOptions } from './options';
import { filePath, flag, from, object, pem, secret, text } from '../../core/checks';
import type { ResolvedServers, UserInfo } from './servers';
import {
  readSettings,
  valuesOf,
  type Check,
  type Environment,
  type Setting,
  type Settings,
} from '../../core/settings';

/** How to authenticate, by at most one method, and whether to use TLS. Prints without its secrets. */
export interface ResolvedConnection {
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  /** Path of a credentials file, to be read at every connect. */
  readonly creds?: string;
  readonly nkeySeed?: string;
  /** Path of a file with an nkey seed, to be read at every connect. */
  readonly nkeyFile?: string;
  readonly authenticator?: readonly Authenticator[];
  /** Present: TLS is required. */
  readonly tls?: Readonly<TlsOptions>;
  readonly allowInsecurePassword: boolean;
}

const authenticator: Check<Authenticator | readonly Authenticator[]> = {
  allowed: 'an authenticator of nats.js or a list of them',
  accepts: (value): value is Authenticator | readonly Authenticator[] =>
    Array.isArray(value)
      ? value.length > 0 && value.every((each) => typeof each === 'function')
      : typeof value === 'function',
};

const SEED = /^SU[A-Z2-7]{56}$/;
// What looks like a seed but is none must not become a path, which messages may show.
const LIKE_SEED = /^[A-Z2-7]{30,}$/i;
const nkey: Check<string> = {
  allowed: 'the path of a file with an nkey seed, or the whole seed of a user ("SU" and 56 more characters)',
  accepts: (value): value is string =>
    typeof value === 'string' &&
    (SEED.test(value) || (filePath.accepts(value) && !LIKE_SEED.test(value.replace(/[\s'"]/g, '')))),
  parse: (value) => value.trim(),
  secret: true,
};

const CONNECTION = {
  user: from('NATS_USER', text),
  pass: from('NATS_PASSWORD', secret),
  token: from('NATS_TOKEN', secret),
  creds: from('NATS_CREDS', filePath),
  nkey: from('NATS_NKEY', nkey),
  authenticator,
  tls: object,
  allowInsecurePassword: flag,
} satisfies Record<keyof ConnectionOptions, Check<unknown>>;

const TLS = {
  ca: pem,
  caFile: from('NATS_CA', filePath),
  cert: pem,
  certFile: from('NATS_CERT', filePath),
  key: pem,
  keyFile: from('NATS_KEY', filePath),
  handshakeFirst: flag,
} satisfies Record<keyof TlsOptions, Check<unknown>>;

type Credentials = Omit<ResolvedConnection, 'tls' | 'allowInsecurePassword'>;

/** @throws EventsConfigurationError naming the option or variable; never quotes a secret */
export function resolveConnection(
  options: unknown,
  env: Environment,
  servers: ResolvedServers,
): ResolvedConnection {
  const settings = readSettings('connection', options, env, CONNECTION);
  const tls = resolveTls(settings.tls, env, servers.tls);
  const { credentials, inTheClear } = resolveCredentials(settings, servers.userInfo);
  const allowInsecurePassword = settings.allowInsecurePassword?.value ?? false;
  const host = servers.remoteHosts[0];
  if (inTheClear !== undefined && host !== undefined && tls === undefined && !allowInsecurePassword) {
    throw new EventsConfigurationError(
      inTheClear,
      `\`${inTheClear}\` has a password or token, which would be sent to ${host} in clear text: use tls:// or ` +
        '`connection.tls`, or set `connection.allowInsecurePassword: true` where the network is trusted',
    );
  }
  return redacting(credentials, tls, allowInsecurePassword);
}

/** Whoever logs the options must not log the password. */
function redacting(
  credentials: Credentials,
  tls: TlsOptions | undefined,
  allowInsecurePassword: boolean,
): ResolvedConnection {
  const connection = { ...credentials, ...(tls && { tls }), allowInsecurePassword };
  const redacted = (): object => ({
    methods: Object.keys(credentials),
    tls: tls !== undefined,
    allowInsecurePassword,
  });
  Object.defineProperty(connection, 'toJSON', { value: redacted });
  Object.defineProperty(connection, inspect.custom, { value: redacted });
  return Object.freeze(connection);
}

/** What is resolved where nothing is given, and where no variable counts. */
export const NO_CONNECTION = redacting({}, undefined, false);

/** The one method: an explicit one hides those of the environment, two on one level are a mistake. */
function resolveCredentials(
  settings: Settings<typeof CONNECTION>,
  userInfo: ResolvedServers['userInfo'],
): { credentials: Credentials; inTheClear?: string } {
  const { creds, nkey: key, authenticator: own } = settings;
  const found = [
    { method: 'password', setting: settings.user },
    { method: 'password', setting: settings.pass },
    { method: 'token', setting: settings.token },
    { method: 'creds', setting: creds },
    { method: 'nkey', setting: key },
    { method: 'authenticator', setting: own },
    { method: userInfo?.value.token === undefined ? 'password' : 'token', setting: userInfo },
  ].flatMap(({ method, setting }) => (setting === undefined ? [] : [{ method, setting }]));
  const explicit = found.filter(({ setting }) => setting.level === 'option');
  const candidates = explicit.length > 0 ? explicit : found;
  const chosen = candidates[0];
  if (chosen === undefined) return { credentials: {} };
  const other = candidates.find(({ method }) => method !== chosen.method);
  if (other !== undefined) throw conflict(other.setting, chosen.setting, 'set one method of authentication');

  const inUrl = userInfo !== undefined && userInfo.level === chosen.setting.level ? userInfo : undefined;
  const pick = (name: keyof UserInfo): Setting<string> | undefined => {
    const setting = settings[name];
    const value = inUrl?.value[name];
    if (inUrl === undefined || value === undefined) return setting;
    if (setting?.level === inUrl.level && setting.value !== value) {
      throw conflict(setting, inUrl, `they give a different ${name}`);
    }
    return { ...inUrl, value };
  };
  switch (chosen.method) {
    case 'password': {
      const [name, password] = [pick('user'), pick('pass')];
      if (name === undefined) {
        const { from } = chosen.setting;
        throw new EventsConfigurationError(
          from,
          `\`${from}\` needs a user: set \`connection.user\` or NATS_USER`,
        );
      }
      const credentials = { user: name.value, ...(password && { pass: password.value }) };
      return { credentials, inTheClear: password?.from };
    }
    case 'token':
      return { credentials: { token: pick('token')!.value }, inTheClear: chosen.setting.from };
    case 'creds':
      return { credentials: { creds: creds!.value } };
    case 'nkey':
      return { credentials: SEED.test(key!.value) ? { nkeySeed: key!.value } : { nkeyFile: key!.value } };
    default:
      return { credentials: { authenticator: Object.freeze([own!.value].flat()) } };
  }
}

function resolveTls(
  given: Setting<unknown> | undefined,
  env: Environment,
  byUrl: boolean,
): TlsOptions | undefined {
  const settings: { -readonly [K in keyof TlsOptions]?: Settings<typeof TLS>[K] } = {
    ...readSettings('connection.tls', given?.value, env, TLS),
  };
  for (const [inline, file] of [
    ['ca', 'caFile'],
    ['cert', 'certFile'],
    ['key', 'keyFile'],
  ] as const) {
    const [content, path] = [settings[inline], settings[file]];
    if (content === undefined || path === undefined) continue;
    if (path.level === 'option') throw conflict(path, content, 'set one of them');
    delete settings[file];
  }
  const cert = settings.cert ?? settings.certFile;
  const key = settings.key ?? settings.keyFile;
  if (cert !== undefined && key === undefined) {
    throw new EventsConfigurationError(
      cert.from,
      `\`${cert.from}\` needs its key: set \`connection.tls.keyFile\` or NATS_KEY`,
    );
  }
  if (key !== undefined && cert === undefined) {
    throw new EventsConfigurationError(
      key.from,
      `\`${key.from}\` needs its certificate: set \`connection.tls.certFile\` or NATS_CERT`,
    );
  }
  const wanted = given !== undefined || byUrl || Object.keys(settings).length > 0;
  return wanted ? Object.freeze(valuesOf(settings as Settings<typeof TLS>)) : undefined;
}

const conflict = (one: Setting<unknown>, other: Setting<unknown>, why: string): EventsConfigurationError =>
  new EventsConfigurationError(one.from, `\`${one.from}\` conflicts with \`${other.from}\`: ${why}`);
