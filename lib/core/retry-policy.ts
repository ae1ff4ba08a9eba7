import { from, integer, milliseconds, oneOf, share } from './checks';
import type { Check } from './settings';

/** When a failed event is delivered again, and how often. */
export interface RetryPolicy {
  /** Re-deliveries after the first failure; 0 = none. Default: 10. */
  readonly attempts: number;
  /** Milliseconds before the first re-delivery. Default: 1000. */
  readonly delay: number;
  /** `exponential` doubles the delay each time, `fixed` keeps it. Default: `exponential`. */
  readonly backoff: 'exponential' | 'fixed';
  /** Upper bound of the delay in milliseconds, before jitter. Default: 30000. */
  readonly maxDelay: number;
  /** Share by which a delay is varied at random in both directions, 0 to 1. Default: 0.2. */
  readonly jitter: number;
}

export const DEFAULT_RETRY: RetryPolicy = Object.freeze({
  attempts: 10,
  delay: 1000,
  backoff: 'exponential',
  maxDelay: 30_000,
  jitter: 0.2,
});

// Twice a delay, which is jitter at its most, must still fit a timer.
const MAX_DELAY = 7 * 24 * 3_600_000;

/** Which values a policy takes. */
export const RETRY_CHECKS = {
  attempts: from('EVENT_RETRY_ATTEMPTS', integer(0, 1000)),
  delay: from('EVENT_RETRY_DELAY', milliseconds(0, MAX_DELAY)),
  backoff: oneOf('exponential', 'fixed'),
  maxDelay: milliseconds(0, MAX_DELAY),
  jitter: share,
} satisfies Record<keyof RetryPolicy, Check<unknown>>;

/** A policy with some of its values changed; a longer `delay` alone raises `maxDelay` with it. */
export function mergeRetry(base: RetryPolicy, changes: Partial<RetryPolicy>): RetryPolicy {
  // Most handlers share the policy of their service.
  if (Object.keys(changes).length === 0 && base.maxDelay >= base.delay && Object.isFrozen(base)) return base;
  const merged = { ...base, ...changes };
  if (changes.maxDelay === undefined) merged.maxDelay = Math.max(merged.maxDelay, merged.delay);
  return Object.freeze(merged);
}

/** Milliseconds to wait after so many attempts have failed. */
export function retryDelay(
  policy: RetryPolicy,
  failures: number,
  random: () => number = Math.random,
): number {
  const grown =
    policy.backoff === 'exponential' ? policy.delay * 2 ** Math.min(failures - 1, 52) : policy.delay;
  const spread = 1 + policy.jitter * (2 * random() - 1);
  return Math.round(Math.min(grown, policy.maxDelay) * spread);
}
