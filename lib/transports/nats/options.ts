import type { Authenticator, TlsOptions } from 'nats';
import type { EventsLogger } from '../../core/logger';
import type { DeliveryMode } from '../../core/transport';

/** Authentication, by at most one method, and TLS. Secrets in files are read again at each reconnect. */
export interface NatsCredentials {
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  /** Path of a credentials file (JWT and seed). */
  readonly creds?: string;
  readonly nkeySeed?: string;
  /** Path of a file with an nkey seed. */
  readonly nkeyFile?: string;
  /** Asked at each connect. */
  readonly authenticator?: readonly Authenticator[];
  /** Present: TLS is required. */
  readonly tls?: TlsOptions;
  /** Whether a password or token may go to other machines without TLS. Default: false. */
  readonly allowInsecurePassword?: boolean;
}

/** Limits of a stream. */
export interface NatsStreamLimits {
  readonly storage: 'file' | 'memory';
  readonly replicas: number;
  /** Milliseconds; 0 = unlimited. */
  readonly maxAge: number;
  /** Bytes; -1 = unlimited. */
  readonly maxBytes: number;
  /** Messages; -1 = unlimited. */
  readonly maxMessages: number;
  /** Milliseconds in which the server recognises a message id. */
  readonly duplicateWindow: number;
  /** A full stream refuses what is new, so that what was acknowledged stays. */
  readonly discard: 'new';
}

/** How a stream is made, and which of its options this service insists on. */
export interface NatsStreamOptions {
  /** What a stream is created with. */
  readonly effective: NatsStreamLimits;
  /** What the service set itself; nothing else is compared with a stream that exists. */
  readonly explicit: Partial<NatsStreamLimits>;
}

export interface NatsTransportOptions {
  readonly servers: readonly string[];
  readonly clusterId: string;
  readonly app: string;
  readonly clientId: string;
  readonly delivery: DeliveryMode;
  readonly credentials: NatsCredentials;
  /** Milliseconds to wait for the first connection and for JetStream. */
  readonly connectTimeout: number;
  /** Milliseconds in which a publish must be confirmed, re-tries included. */
  readonly publishTimeout: number;
  /**
   * Milliseconds after which the server delivers an unsettled event again. The same for all versions of a service, hence
   * not an option of the module: tests that kill processes shorten it.
   */
  readonly ackWait: number;
  /** `true` creates streams, `'update'` also widens them, `false` only looks. */
  readonly manage: boolean | 'update';
  readonly events: NatsStreamOptions;
  readonly deadLetters: NatsStreamOptions;
  readonly logger: EventsLogger;
}
