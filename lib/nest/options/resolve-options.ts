import type { Type } from '@nestjs/common';
import type { EventContract } from '../../core/contract';
import type { EmitLimits } from '../../core/emit-gate';
import { EventsConfigurationError } from '../../core/errors';
import type { EventMiddleware } from '../../core/middleware';
import { DEFAULT_RETRY, mergeRetry, RETRY_CHECKS, type RetryPolicy } from '../../core/retry-policy';
import type { DeliveryMode, EventTransport } from '../../core/transport';
import type { EventsModuleOptions, GuardDenied, PendingEmitsOptions } from './options';
import { anything, flag, from, integer, milliseconds, object, oneOf, text } from '../../core/checks';
import { NO_CONNECTION, resolveConnection, type ResolvedConnection } from './connection';
import { resolveEvents } from './events';
import { resolveMiddleware } from './middleware';
import { resolveServers } from './servers';
import {
  isObject,
  readSettings,
  valuesOf,
  type Check,
  type Environment,
  type Setting,
} from '../../core/settings';
import { resolveStream, type ResolvedStreamOptions } from './stream';

/** Every option with its value: checked, copied and frozen. Durations in milliseconds; see `EventsModuleOptions`. */
export interface ResolvedOptions {
  readonly appName: string;
  readonly transportKind: 'memory' | 'nats' | 'custom';
  /** `nats://host:port` or `tls://host:port` each, without credentials; empty unless `transportKind` is `nats`. */
  readonly servers: readonly string[];
  /** Name of the memory broker that the applications of this process share; absent: a private one. */
  readonly memoryName?: string;
  readonly clusterId: string;
  readonly clientId: string;
  readonly connection: ResolvedConnection;
  readonly delivery: DeliveryMode;
  readonly retry: RetryPolicy;
  readonly concurrency: number;
  readonly handlerTimeout: number;
  readonly publishTimeout: number;
  readonly connectTimeout: number;
  readonly shutdownTimeout: number;
  readonly maxRedrives: number;
  readonly pendingEmits: EmitLimits;
  readonly consume: boolean;
  readonly events: readonly EventContract[];
  readonly strict: boolean;
  readonly middleware: readonly (Type<EventMiddleware> | EventMiddleware)[];
  readonly correlationId?: () => string | undefined;
  readonly stream: ResolvedStreamOptions;
  readonly globalEnhancers: boolean;
  readonly guardDenied: GuardDenied;
  /** Present when `transportKind` is `custom`. */
  readonly transport?: EventTransport;
  readonly isGlobal: boolean;
}

const clusterId: Check<string> = {
  allowed: 'one token of at most 100 letters, digits, "_" and "-", not ending in "-retry" or "-dlq"',
  // "_INBOX" would store the answers to every request on the server.
  accepts: (value): value is string =>
    typeof value === 'string' &&
    value.length <= 100 &&
    /^[\w-]+$/.test(value) &&
    !/-(?:retry|dlq|dlq-run)$|^_INBOX$/.test(value),
};

const clientId: Check<string> = {
  allowed: 'printable text',
  accepts: (value): value is string => text.accepts(value) && !/\p{Cc}/u.test(value),
};

const transport: Check<EventTransport> = {
  allowed: 'an EventTransport with connect, publish, subscribe, status and close',
  accepts: (value): value is EventTransport =>
    isObject(value) &&
    ['connect', 'publish', 'subscribe', 'status', 'close'].every(
      (method) => typeof value[method] === 'function',
    ),
};

const correlationId: Check<() => string | undefined> = {
  allowed: 'a function that gives a correlation id or undefined',
  accepts: (value): value is () => string | undefined => typeof value === 'function',
};

export const CLUSTER_ID = from('NATS_CLUSTER_ID', clusterId);
export const DEFAULT_CLUSTER_ID = 'events';

const OPTIONS = {
  appName: from('APP_NAME', text),
  url: from('NATS_URL', anything),
  clusterId: CLUSTER_ID,
  clientId: from('NATS_CLIENT_ID', clientId),
  connection: object,
  delivery: from('EVENT_DELIVERY', oneOf('durable', 'ephemeral')),
  retry: object,
  concurrency: from('EVENT_CONCURRENCY', integer(1, 10_000)),
  handlerTimeout: from('EVENT_HANDLER_TIMEOUT', milliseconds()),
  publishTimeout: from('EVENT_PUBLISH_TIMEOUT', milliseconds()),
  connectTimeout: from('EVENT_CONNECT_TIMEOUT', milliseconds()),
  shutdownTimeout: from('EVENT_SHUTDOWN_TIMEOUT', milliseconds()),
  maxRedrives: integer(0, 1000),
  pendingEmits: object,
  consume: from('EVENT_CONSUME', flag),
  events: anything,
  strict: flag,
  middleware: anything,
  correlationId,
  stream: object,
  globalEnhancers: flag,
  guardDenied: oneOf('dead-letter', 'retry'),
  transport,
  isGlobal: flag,
} satisfies Record<keyof EventsModuleOptions, Check<unknown>>;

/**
 * Explicit option beats environment beats default. Neither `options` nor `env` is kept or changed.
 * @throws EventsConfigurationError whose `option` is the path of the option, or the variable, that carried a wrong value
 */
export function resolveOptions(
  options: EventsModuleOptions,
  env: Environment = process.env,
): ResolvedOptions {
  const settings = readSettings('', options, env, OPTIONS);
  const appName = settings.appName?.value.trim();
  if (appName === undefined) {
    throw new EventsConfigurationError(
      'appName',
      'the service needs a name: set the option `appName` or the variable APP_NAME',
    );
  }
  const custom = settings.transport !== undefined;
  // A custom transport has a connection of its own; what the environment says of ours may not even fit it.
  const servers = resolveServers(custom && settings.url?.level === 'environment' ? undefined : settings.url);
  const remote = !custom && servers.transportKind === 'nats';
  const connection =
    remote || settings.connection !== undefined
      ? resolveConnection(
          settings.connection?.value,
          remote ? env : {},
          remote ? servers : { ...servers, remoteHosts: [] },
        )
      : NO_CONNECTION;
  const stream = resolveStream(settings.stream?.value);
  return Object.freeze({
    appName,
    transportKind: custom ? 'custom' : servers.transportKind,
    servers: custom ? Object.freeze([]) : servers.servers,
    ...(!custom && servers.memoryName !== undefined && { memoryName: servers.memoryName }),
    clusterId: settings.clusterId?.value ?? DEFAULT_CLUSTER_ID,
    clientId: settings.clientId?.value ?? appName,
    connection,
    delivery: settings.delivery?.value ?? 'durable',
    retry: resolveRetry(settings.retry?.value, env),
    concurrency: settings.concurrency?.value ?? 100,
    handlerTimeout: settings.handlerTimeout?.value ?? 30_000,
    publishTimeout: resolvePublishTimeout(settings.publishTimeout, stream),
    connectTimeout: settings.connectTimeout?.value ?? 10_000,
    shutdownTimeout: settings.shutdownTimeout?.value ?? 10_000,
    maxRedrives: settings.maxRedrives?.value ?? 5,
    pendingEmits: resolvePendingEmits(settings.pendingEmits?.value),
    consume: settings.consume?.value ?? true,
    events: resolveEvents(settings.events?.value),
    strict: settings.strict?.value ?? false,
    middleware: resolveMiddleware(settings.middleware?.value),
    ...(settings.correlationId && { correlationId: settings.correlationId.value }),
    stream,
    globalEnhancers: settings.globalEnhancers?.value ?? false,
    guardDenied: settings.guardDenied?.value ?? 'dead-letter',
    ...(settings.transport && { transport: settings.transport.value }),
    isGlobal: settings.isGlobal?.value ?? true,
  });
}

const PENDING_EMITS_CHECKS = {
  inFlight: integer(1, 1_000_000),
  waiting: integer(0, 10_000_000),
  bytes: integer(1, Number.MAX_SAFE_INTEGER),
} satisfies Record<keyof PendingEmitsOptions, Check<unknown>>;

const resolvePendingEmits = (options: unknown): EmitLimits =>
  Object.freeze({
    inFlight: 4096,
    waiting: 100_000,
    bytes: 256 * 1024 * 1024,
    ...valuesOf(readSettings('pendingEmits', options, {}, PENDING_EMITS_CHECKS)),
  });

function resolveRetry(options: unknown, env: Environment): RetryPolicy {
  const settings = readSettings('retry', options, env, RETRY_CHECKS);
  const retry = mergeRetry(DEFAULT_RETRY, valuesOf(settings));
  if (retry.maxDelay >= retry.delay) return retry;
  const delay = settings.delay?.from ?? 'retry.delay';
  throw new EventsConfigurationError(
    'retry.maxDelay',
    `\`retry.maxDelay\` (${retry.maxDelay} ms) must be at least \`${delay}\` (${retry.delay} ms)`,
  );
}

/** A re-try after the duplicate window would be stored as a second event. */
function resolvePublishTimeout(setting: Setting<number> | undefined, stream: ResolvedStreamOptions): number {
  const timeout = setting?.value ?? 10_000;
  const window = stream.effective.duplicateWindow;
  if (timeout < window) return timeout;
  const option = setting?.from ?? 'publishTimeout';
  const byMaxAge = window === stream.effective.maxAge && stream.explicit.duplicateWindow === undefined;
  const other = byMaxAge ? 'stream.maxAge' : 'stream.duplicateWindow';
  throw new EventsConfigurationError(
    setting?.from ?? other,
    `\`${option}\` (${timeout} ms) must be smaller than \`${other}\` (${window} ms): ` +
      'only within the duplicate window does the server recognise the re-tries of an emit',
  );
}
