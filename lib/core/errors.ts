import { cut, printable } from './printable';
import type { DeadLetterReason } from './settlement';
import { textOf } from './thrown';

/**
 * Every way in which this package says no. The set is closed: `docs/errors.md` has an entry for each.
 */
export const EVENTS_ERROR_CODES = [
  // Configuration and start-up
  'invalid_configuration',
  'connection_failed',
  'unsupported_server',
  'jetstream_unavailable',
  'jetstream_refused',
  'server_limit',
  'stream_mismatch',
  'consumer_mismatch',
  'invalid_pattern',
  'duplicate_handler',
  // Emitting
  'invalid_event_name',
  'invalid_header',
  'unknown_event',
  'validation_failed',
  'unserializable',
  'payload_too_large',
  'no_stream',
  'publish_rejected',
  'publish_unconfirmed',
  'publish_overloaded',
  'batch_unsupported',
  'permission_denied',
  'disconnected',
  'closed',
  'request_unsupported',
  // Handling
  'undecodable',
  'handler_timeout',
  'non_retryable',
  'retry_after',
  // Dead letters
  'no_dead_letter',
  'no_handler',
  'redrive_limit',
] as const;

export type EventsErrorCode = (typeof EVENTS_ERROR_CODES)[number];

export interface EventsErrorOptions {
  cause?: unknown;
  /** Whether the same call can succeed later without a change. Default: `false`. */
  retryable?: boolean;
  /** The server's own error code, where the server gave one (JetStream API `err_code`). */
  serverCode?: number;
}

// Two copies of this package can be installed side by side; the brand lets `instanceof EventsError` hold across them.
const BRAND = Symbol.for('@venta/events/error');

/** Characters of a message. */
const MAX_MESSAGE = 4000;

/**
 * The base of every error of this package; tell them apart by `code`. The message is printable, on one line and at most 4,000
 * characters long, whatever it quotes.
 */
export class EventsError extends Error {
  readonly code: EventsErrorCode;
  readonly retryable: boolean;
  readonly serverCode: number | undefined;

  constructor(code: EventsErrorCode, message: string, options: EventsErrorOptions = {}) {
    super(
      typeof message === 'string' ? printable(message, MAX_MESSAGE) : message,
      'cause' in options ? { cause: options.cause } : undefined,
    );
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.serverCode = options.serverCode;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** For `JSON.stringify`, which leaves the message of an Error out: all fields, the cause as text, no stack. */
  toJSON(): Record<string, unknown> {
    const { name, message, cause } = this;
    return { ...(this as object), name, message, ...(cause === undefined ? {} : { cause: textOf(cause) }) };
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (this !== EventsError) return Function.prototype[Symbol.hasInstance].call(this, value);
    try {
      return typeof value === 'object' && value !== null && BRAND in value;
    } catch {
      return false; // a proxy that does not let itself be asked
    }
  }
}

/** Thrown when an option, an environment variable or a declaration is wrong, before anything connects. */
export class EventsConfigurationError extends EventsError {
  /** The option or variable at fault, e.g. `retry.attempts` or `EVENT_RETRY_ATTEMPTS`. */
  readonly option: string;

  constructor(option: string, message: string, options: EventsErrorOptions = {}) {
    super('invalid_configuration', message, options);
    this.option = option;
  }
}

/** Thrown by `emit` when the data holds something JSON cannot carry. */
export class EventSerializationError extends EventsError {
  /** JSON Pointer (RFC 6901) of the value at fault; `''` is the data itself. */
  readonly path: string;

  constructor(path: string, message: string, options: EventsErrorOptions = {}) {
    super('unserializable', message, options);
    this.path = path;
  }
}

/** One thing a schema found wrong. */
export interface ValidationIssue {
  /** JSON Pointer of the value at fault; `''` is the data itself. */
  readonly path: string;
  readonly message: string;
}

/** Thrown by `emit` when the data does not fit the event's contract; on handling it is the cause of the dead letter. */
export class EventValidationError extends EventsError {
  readonly issues: readonly ValidationIssue[];

  constructor(eventName: string, issues: readonly ValidationIssue[], options: EventsErrorOptions = {}) {
    const first = issues
      .slice(0, 3)
      .map(({ path, message }) => cut(path === '' ? message : `${cut(path, 200)}: ${message}`, 600));
    const more = issues.length > 3 ? ` (and ${issues.length - 3} more)` : '';
    super(
      'validation_failed',
      `'${eventName}' does not fit its contract: ${first.join('; ')}${more}`,
      options,
    );
    this.issues = issues;
  }
}

/** Throw it in a handler when trying again cannot help: the event becomes a dead letter at once. */
export class NonRetryableError extends EventsError {
  readonly reason: DeadLetterReason;

  constructor(message: string, options: EventsErrorOptions & { reason?: DeadLetterReason } = {}) {
    super('non_retryable', message, options);
    this.reason = options.reason ?? 'non_retryable';
  }
}

/** Throw it in a handler to choose the delay of the next attempt; it counts as a failed attempt. */
export class RetryAfterError extends EventsError {
  /** Milliseconds until the next attempt. */
  readonly delay: number;

  constructor(delay: number, message = `try again in ${delay} ms`, options: EventsErrorOptions = {}) {
    super('retry_after', message, { ...options, retryable: true });
    if (!Number.isFinite(delay) || delay < 0) {
      throw new EventsError('invalid_configuration', `RetryAfterError takes milliseconds >= 0, got ${delay}`);
    }
    this.delay = delay;
  }
}
