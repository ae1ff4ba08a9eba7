import type { DeadLetter } from './dead-letter-reading';
import { EventsError } from './errors';
import { assertPattern, matches } from './event-name';
import type { DeadLetterReason } from './settlement';

export interface DeadLetterFilter {
  /** Handler (`Notifications.welcome`) or durable (`user-service__Notifications-welcome`). */
  subscription?: string;
  /** The service. */
  app?: string;
  /** Event name or pattern. */
  event?: string;
  reason?: DeadLetterReason;
  /** Became a dead letter at or after, before. */
  since?: Date;
  until?: Date;
}

const FILTERS: ReadonlySet<string> = new Set(['subscription', 'app', 'event', 'reason', 'since', 'until']);

/**
 * A mistyped or undefined condition must not mean all dead letters; `{}` does.
 * @throws EventsError `invalid_configuration`, `invalid_pattern`
 */
export function assertFilter(filter: DeadLetterFilter): void {
  for (const [key, value] of Object.entries(filter)) {
    if (FILTERS.has(key) && value !== undefined) continue;
    const what = FILTERS.has(key) ? `\`${key}\` is undefined` : `there is no \`${key}\``;
    throw new EventsError(
      'invalid_configuration',
      `${what} in the filter of dead letters; known are ${[...FILTERS].join(', ')}, and {} means all`,
    );
  }
  if (filter.event !== undefined) assertPattern(filter.event);
}

/** @param storedAt when it became a dead letter, in milliseconds since the epoch */
export const fits = (letter: DeadLetter, storedAt: number, filter: DeadLetterFilter): boolean =>
  (filter.subscription === undefined ||
    letter.subscription === filter.subscription ||
    letter.durable === filter.subscription) &&
  (filter.app === undefined || letter.app === filter.app) &&
  (filter.event === undefined || matches(filter.event, letter.event)) &&
  (filter.reason === undefined || letter.reason === filter.reason) &&
  (filter.since === undefined || storedAt >= filter.since.getTime()) &&
  (filter.until === undefined || storedAt < filter.until.getTime());
