import type { Type } from '@nestjs/common';
import type { EventContract } from '../../core/contract';
import type { EventMiddleware } from '../../core/middleware';
import type { RetryPolicy } from '../../core/retry-policy';
import type { DeliveryMode, EventTransport } from '../../core/transport';

/**
 * What `EventsModule.register` takes. Explicit option beats environment beats default; an option that is `undefined` and
 * a variable that is empty count as not set. A wrong value is an `EventsConfigurationError`, before anything connects.
 */
export interface EventsModuleOptions {
  /**
   * The service: its consumer group, the prefix of its durables, the source of its events. Any text; sanitised where it
   * becomes a name of NATS. Required. Environment: `APP_NAME`.
   */
  appName?: string;
  /**
   * Servers of one cluster, as a list or separated by commas: `nats://host:port`, `tls://host:port`, or `host:port`.
   * One `tls://` makes TLS required for all of them. User and password in it (`nats://user:pass@host`, percent-encoded)
   * are taken as `connection.user` and `connection.pass`, one part alone as `connection.token`, and never logged.
   * `memory://` is a broker inside this application, `memory://<name>` one shared by the applications of this process.
   * Default: `nats://localhost:4222`. Environment: `NATS_URL`.
   */
  url?: string | readonly string[];
  /**
   * Names the stream and prefixes every subject: services with one cluster id share events. One token of letters,
   * digits, `_` and `-`, at most 100, not ending in `-retry` or `-dlq`. Default: `events`. Environment: `NATS_CLUSTER_ID`.
   */
  clusterId?: string;
  /** Connection name that the server shows; printable. Default: `appName`. Environment: `NATS_CLIENT_ID`. */
  clientId?: string;
  /** Authentication and TLS. Default: none. */
  connection?: ConnectionOptions;
  /**
   * `durable`: stored by JetStream, delivered at least once. `ephemeral`: core NATS, to whoever listens now, may lose.
   * Default: `durable`. Environment: `EVENT_DELIVERY`.
   */
  delivery?: DeliveryMode;
  /**
   * When and how often a failed event is delivered again; what is left out keeps its default, ten times over three
   * minutes. Environment: `EVENT_RETRY_ATTEMPTS`, `EVENT_RETRY_DELAY` (milliseconds).
   */
  retry?: Partial<RetryPolicy>;
  /**
   * Events that one subscription handles at once in this process, 1 to 10000.
   * Default: 100. Environment: `EVENT_CONCURRENCY`.
   */
  concurrency?: number;
  /**
   * Milliseconds a handler may take; then `context.signal` aborts and the attempt has failed.
   * Default: 30000. Environment: `EVENT_HANDLER_TIMEOUT`.
   */
  handlerTimeout?: number;
  /**
   * Milliseconds in which an `emit` must be confirmed, reconnects and re-tries with the same id included. Smaller than
   * `stream.duplicateWindow`, by which the server recognises re-tries. Default: 10000. Environment: `EVENT_PUBLISH_TIMEOUT`.
   */
  publishTimeout?: number;
  /**
   * Milliseconds to wait for the first connection before start-up fails.
   * Default: 10000. Environment: `EVENT_CONNECT_TIMEOUT`.
   */
  connectTimeout?: number;
  /**
   * Milliseconds that running handlers have to finish at shutdown; what still runs then is handed back to the broker.
   * Default: 10000. Environment: `EVENT_SHUTDOWN_TIMEOUT`.
   */
  shutdownTimeout?: number;
  /** Limits of events on their way to the broker. */
  pendingEmits?: PendingEmitsOptions;
  /** How often one dead letter may be sent back to its handler, 0 to 1000. Default: 5. */
  maxRedrives?: number;
  /**
   * `false`: emit only, so that a script that boots the application takes no events from the running service.
   * Default: `true`. Environment: `EVENT_CONSUME`, `true` or `false`.
   */
  consume?: boolean;
  /** The contracts of the events, made by `defineEvent`, as a list or a record of any keys. Default: none. */
  events?: readonly EventContract[] | Readonly<Record<string, EventContract>>;
  /** Refuse to emit or to handle an event that has no contract in `events`. Default: `false`. */
  strict?: boolean;
  /** Provider classes or instances, the first outermost. Default: none. */
  middleware?: readonly (Type<EventMiddleware> | EventMiddleware)[];
  /**
   * Gives the correlation id of what is emitted outside of event handlers, from `nestjs-cls` or any AsyncLocalStorage;
   * `undefined` where there is none, and then that of the request or message counts. Called in the context of `emit`. If
   * it throws or gives what is no id, the emit goes on as if it had given none, and a warning is logged once. Default: none.
   */
  correlationId?: () => string | undefined;
  /** How the streams are created and compared. */
  stream?: StreamOptions;
  /** Whether `APP_GUARD`, `APP_PIPE` and the like also apply to event handlers. Default: `false`. */
  globalEnhancers?: boolean;
  /**
   * What becomes of an event that a guard denies, unless an exception filter changes it: `dead-letter` at once, or
   * `retry` like any failure. Default: `dead-letter`.
   */
  guardDenied?: GuardDenied;
  /** A transport of your own; `url`, `connection` and their variables are then not used. Default: chosen by `url`. */
  transport?: EventTransport;
  /** Whether `EventService` can be injected without importing the module. Default: `true`. */
  isGlobal?: boolean;
}

/** Beyond these, `emit` rejects with `publish_overloaded`; the event was not sent. */
export interface PendingEmitsOptions {
  /** Events sent and not yet confirmed, 1 to 1000000; those that come then wait their turn. Default: 4096. */
  inFlight?: number;
  /** Events that wait their turn, for `publishTimeout` at most; 0 rejects instead of waiting. Default: 100000. */
  waiting?: number;
  /** Bytes of data of all these events together. Default: 268435456 (256 MiB). */
  bytes?: number;
}

/** What becomes of an event that a guard denies. */
export type GuardDenied = 'dead-letter' | 'retry';

/**
 * How to authenticate, by one method: user and password, token, credentials file, nkey or authenticator; and TLS.
 * The names are those of nats.js. An explicit method beats one from the environment.
 */
export interface ConnectionOptions {
  /** User name. Default: none. Environment: `NATS_USER`. */
  user?: string;
  /** Password. Default: none. Environment: `NATS_PASSWORD`. */
  pass?: string;
  /** Token. Default: none. Environment: `NATS_TOKEN`. */
  token?: string;
  /** Path of a credentials file, read again at every reconnect. Default: none. Environment: `NATS_CREDS`. */
  creds?: string;
  /**
   * A user's nkey seed (`SU…`), or the path of a file with it, read again at every reconnect.
   * Default: none. Environment: `NATS_NKEY`.
   */
  nkey?: string;
  /** Authenticators of nats.js, asked at every reconnect. Default: none. */
  authenticator?: Authenticator | readonly Authenticator[];
  /** Requires TLS, `{}` with the authorities of Node. Default: `{}` with a `tls://` url or one of the variables below. */
  tls?: TlsOptions;
  /**
   * Send a password or token to a host other than this one without TLS, readable on the way. Default: `false`, which
   * refuses to start.
   */
  allowInsecurePassword?: boolean;
}

/** Answers a server's challenge: the shape of nats.js' `Authenticator`. */
export type Authenticator = (
  nonce?: string,
) =>
  | { auth_token: string }
  | { user: string; pass?: string }
  | { nkey: string; sig: string }
  | { jwt: string; nkey?: string; sig?: string }
  | void;

/** PEM text or the path of a file with it; files are read again at every reconnect. */
export interface TlsOptions {
  /** Authorities to trust, as PEM. Default: those of Node. */
  ca?: string;
  /** Path of the authorities to trust. Environment: `NATS_CA`. */
  caFile?: string;
  /** Client certificate, as PEM; needs a key. Default: none. */
  cert?: string;
  /** Path of the client certificate; needs a key. Environment: `NATS_CERT`. */
  certFile?: string;
  /** Key of the client certificate, as PEM. */
  key?: string;
  /** Path of the key of the client certificate. Environment: `NATS_KEY`. */
  keyFile?: string;
  /** Start TLS before the server speaks; the server must be configured alike. Default: `false`. */
  handshakeFirst?: boolean;
}

/** Limits of one stream. They apply when it is created; an existing one is compared with what is set here, only. */
export interface StreamLimits {
  /** `memory` loses everything at a restart of the server. Default: `file`. */
  storage?: 'file' | 'memory';
  /** Servers that keep a copy, 1 to 5. Default: 1. */
  replicas?: number;
  /** Milliseconds an event is kept, at least 100; 0 = for ever. Default: 7 days; dead letters: 30 days. */
  maxAge?: number;
  /** Bytes after which the stream is full and refuses events; -1 = unlimited. Default: -1. */
  maxBytes?: number;
  /** Events after which the stream is full and refuses more; -1 = unlimited. Default: -1. */
  maxMessages?: number;
  /** Milliseconds in which the server recognises a second event of one id, at least 100, at most `maxAge`. Default: 2 minutes. */
  duplicateWindow?: number;
  /** What a full stream does: it refuses. Set it to be warned of an existing stream that drops old events. Default: `new`. */
  discard?: 'new';
}

export interface StreamOptions extends StreamLimits {
  /** `true` creates what is missing, `'update'` also widens what exists, `false` never touches a stream. Default: `true`. */
  manage?: boolean | 'update';
  /** The dead-letter stream. Default: `storage` and `replicas` of the event stream, 30 days. */
  deadLetter?: StreamLimits;
}
