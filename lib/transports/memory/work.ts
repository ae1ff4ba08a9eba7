import type { Clock } from '../../core/clock';
import type { EventsLogger } from '../../core/logger';
import type { Settlement } from '../../core/settlement';
import type { Delivery } from '../../core/transport';

/** The application that acts. A shared broker has no time and no voice of its own. */
export interface Host {
  readonly clock: Clock;
  readonly logger: EventsLogger;
}

/**
 * What became of a delivery; `hand-back`: it was not settled, deliver it to another at once; `hand-on`: this version of the
 * handler does not take its name, another one may.
 */
export type Outcome = Settlement | { readonly kind: 'hand-back' } | { readonly kind: 'hand-on' };

/** One delivery on its way to a consumer. */
export interface Work {
  readonly delivery: Delivery;
  /** To be called once. */
  settle(outcome: Outcome, host: Host): void;
}

// Node fires a longer timer at once.
const MAX_TIMER = 2 ** 31 - 1;

/** Runs `task` after a retry's delay; the returned function cancels it. */
export const afterDelay = ({ clock }: Host, delay: number, task: () => void): (() => void) =>
  clock.after(Math.min(Math.max(delay, 0), MAX_TIMER), task);
