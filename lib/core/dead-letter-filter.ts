import { types } from 'node:util';
import type { DeadLetter } from './dead-letter-reading';
import { EventsConfigurationError, EventsError } from './errors';
import { assertPattern, matches } from './event-name';
import { isPlainObject, wrong } from './settings';
import { DEAD_LETTER_REASONS, type DeadLetterReason } from './settlement';

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
  if (!isPlainObject(filter)) {
    const what = filter === null ? 'null' : Array.isArray(filter) ? 'a list' : typeof filter;
    throw new EventsConfigurationError(
      'filter',
      `give the id of a dead letter, or a filter of ${[...FILTERS].join(', ')}; {} means all dead letters; got ${what}`,
    );
  }
  for (const [key, value] of Object.entries(filter)) {
    if (FILTERS.has(key) && value !== undefined) continue;
    const what = FILTERS.has(key) ? `\`${key}\` is undefined` : `there is no \`${key}\``;
    throw new EventsError(
      'invalid_configuration',
      `${what} in the filter of dead letters; known are ${[...FILTERS].join(', ')}, and {} means all`,
    );
  }
  for (const key of ['subscription', 'app'] as const) {
    if (filter[key] !== undefined) assertValue(key, 'text', typeof filter[key] === 'string', filter[key]);
  }
  for (const key of ['since', 'until'] as const) {
    const time: unknown = filter[key];
    if (time !== undefined) assertValue(key, 'a Date', types.isDate(time), time);
  }
  const { reason } = filter;
  if (reason !== undefined) {
    const isReason = (DEAD_LETTER_REASONS as readonly unknown[]).includes(reason);
    assertValue('reason', `one of ${DEAD_LETTER_REASONS.join(', ')}`, isReason, reason);
  }
  if (filter.event !== undefined) assertPattern(filter.event);
}

function assertValue(key: string, allowed: string, fits: boolean, value: unknown): void {
  if (!fits) throw wrong(`filter.${key}`, allowed, value);
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
