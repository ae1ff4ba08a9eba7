import { integer, milliseconds } from './checks';
import { systemClock, type Clock } from './clock';
import type { EventsLogger } from './logger';
import type { Check } from './settings';

/** Stops consuming while everything fails, so that an outage downstream does not drain the stream into dead letters. */
export interface CircuitBreakerOptions {
  /** Failures in a row, without a success in between, after which the subscription pauses. */
  readonly threshold: number;
  /** Milliseconds in which they must have happened. */
  readonly window: number;
  /** Milliseconds to pause before one event is let through to probe. */
  readonly pause: number;
}

export const CIRCUIT_BREAKER_CHECKS = {
  threshold: integer(1, 100_000),
  window: milliseconds(),
  pause: milliseconds(),
} satisfies Record<keyof CircuitBreakerOptions, Check<unknown>>;

/**
 * Per subscription and process. Closed: everything runs. Open: nothing does, for `pause`. Half open: one event probes;
 * its success closes the circuit, its failure opens it again.
 */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions;
  readonly #name: string;
  readonly #limit: (concurrency: number) => void;
  readonly #logger: EventsLogger;
  readonly #clock: Clock;
  #state: 'closed' | 'open' | 'half-open' = 'closed';
  /** When the failures in a row happened, the last `threshold` of them. */
  #failures: number[] = [];
  #cancelProbe: () => void = () => undefined;
  #stopped = false;

  /** @param limit sets how many events may run at once; `Infinity` for as many as configured */
  constructor(
    options: CircuitBreakerOptions,
    name: string,
    limit: (concurrency: number) => void,
    logger: EventsLogger,
    clock: Clock = systemClock,
  ) {
    this.#options = options;
    this.#name = name;
    this.#limit = limit;
    this.#logger = logger;
    this.#clock = clock;
  }

  /** While it does not hold, failures say nothing about the events: they are not to be given up. */
  get closed(): boolean {
    return this.#state === 'closed';
  }

  /** Milliseconds after which a failed event is worth another try. */
  get pause(): number {
    return this.#options.pause;
  }

  succeeded(): void {
    if (this.#failures.length > 0) this.#failures = [];
    if (this.#state === 'closed') return;
    // What began before the circuit opened may succeed too; that is as good as a probe.
    this.#state = 'closed';
    this.#cancelProbe();
    this.#limit(Infinity);
    this.#logger.log(`'${this.#name}' works again: its circuit is closed, consumption goes on`);
  }

  failed(now = this.#clock.monotonic()): void {
    if (this.#state === 'half-open') return this.#open();
    if (this.#state === 'open') return;
    const { threshold, window } = this.#options;
    this.#failures.push(now);
    if (this.#failures.length > threshold) this.#failures.shift();
    if (this.#failures.length === threshold && now - (this.#failures[0] as number) <= window) this.#open();
  }

  /** No more probes: the subscription ends. */
  stop(): void {
    this.#stopped = true;
    this.#cancelProbe();
  }

  #open(): void {
    const { threshold, pause } = this.#options;
    if (this.#state === 'closed') {
      this.#logger.error(
        `'${this.#name}' failed ${threshold} times in a row: its circuit is open, consumption pauses and is probed every ${pause} ms`,
      );
    }
    this.#state = 'open';
    this.#limit(0);
    if (this.#stopped) return;
    this.#cancelProbe = this.#clock.after(pause, () => {
      this.#state = 'half-open';
      this.#limit(1);
    });
  }
}
