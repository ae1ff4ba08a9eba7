/** Why an event became a dead letter. The set is closed; it is the value of the header `Event-Failure-Reason`. */
export const DEAD_LETTER_REASONS = [
  'undecodable',
  'validation',
  'non_retryable',
  'attempts_exhausted',
  'crash_loop',
  'no_handler',
] as const;

export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number];

/** What went wrong, as it is recorded with a dead letter. */
export interface Failure {
  readonly reason: DeadLetterReason;
  /** Name of the error's class, e.g. `TypeError`. */
  readonly type: string;
  readonly message: string;
}

/**
 * What is to become of a delivered event. A pipeline returns one; only transports act on it.
 *
 * - `ack`: done, never deliver again.
 * - `retry`: deliver again after `delay` milliseconds.
 * - `dead-letter`: store it with its failure, confirm that, then never deliver again.
 */
export type Settlement =
  | { readonly kind: 'ack' }
  | { readonly kind: 'retry'; readonly delay: number }
  | { readonly kind: 'dead-letter'; readonly failure: Failure };

export const ACK: Settlement = Object.freeze({ kind: 'ack' });
