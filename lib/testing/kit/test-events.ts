import type { Subscribable } from '../../core/event-map';
import { assertPattern, matches } from '../../core/event-name';
import type { DeadLetteredEvent, EmittedEvent, FailedEvent, HandledEvent, NamesOf } from './event-records';
import { Observation } from './observation';
import type { TestOptions } from './test-options';

/** What stands behind the events of a test. Set once, by the class, whose private parts nobody else can read. */
export let observationOf: (events: TestEvents) => Observation;

/**
 * The events of a test: waits for them, moves their clock, and tells what happened to them. `EventsTestingModule` provides
 * it. Made by the test itself and given to several `EventsTestingModule`s, it joins their applications: they share a broker
 * and a clock, and `settled` waits for all of them.
 */
export class TestEvents {
  readonly #observation: Observation;

  /** @throws EventsConfigurationError naming the option that is wrong */
  constructor(options?: TestOptions) {
    this.#observation = new Observation(options);
  }

  /** What the clock shows. It stands still, unless `advance` moves it. */
  get now(): Date {
    return new Date(this.#observation.clock.now());
  }

  /**
   * Resolves when everything that was emitted, and everything that was emitted in turn, is handled, dead-lettered or waits
   * for its next attempt. With nothing under way, at once. An emit that nobody has called yet is not waited for: what runs
   * without being awaited must be awaited by the test.
   * @param options.timeout milliseconds of real time. Default: `test.timeout`, 5000
   * @throws Error when they do not settle in time, with the handlers and events at fault; when no application has started
   */
  async settled({ timeout = this.#observation.options.timeout }: { timeout?: number } = {}): Promise<void> {
    this.#observation.assertReady();
    await this.#observation.inFlight.settled(timeout);
  }

  /**
   * Moves the clock on, from one moment at which an attempt is due to the next, and waits at each as `settled` does: a retry
   * that fails and is due again within this time runs again. Handlers' own timers, and `handlerTimeout`, are real time.
   * @param ms at least 0
   * @throws Error as `settled`
   */
  async advance(ms: number): Promise<void> {
    if (!Number.isFinite(ms) || ms < 0) throw new Error(`advance takes milliseconds >= 0, got ${ms}`);
    const { clock } = this.#observation;
    const end = clock.now() + ms;
    await this.settled();
    while (clock.step(end)) await this.settled();
  }

  /** The events that were stored, in that order: all, or those of a name or pattern. */
  emitted(): EmittedEvent[];
  // The intersection infers the name from the argument, and then judges it.
  // eslint-disable-next-line @typescript-eslint/no-duplicate-type-constituents
  emitted<const P extends string>(name: P & Subscribable<P>): EmittedEvent<NamesOf<P>>[];
  emitted(name?: string): EmittedEvent[] {
    return named(this.#observation.records.emitted, name);
  }

  /** The attempts that succeeded, in the order in which they ended. */
  handled(): HandledEvent[];
  // eslint-disable-next-line @typescript-eslint/no-duplicate-type-constituents
  handled<const P extends string>(name: P & Subscribable<P>): HandledEvent<NamesOf<P>>[];
  handled(name?: string): HandledEvent[] {
    return named(this.#observation.records.handled, name);
  }

  /** The attempts that failed, in the order in which they ended. */
  failed(): FailedEvent[];
  // eslint-disable-next-line @typescript-eslint/no-duplicate-type-constituents
  failed<const P extends string>(name: P & Subscribable<P>): FailedEvent<NamesOf<P>>[];
  failed(name?: string): FailedEvent[] {
    return named(this.#observation.records.failed, name);
  }

  /** The events that were given up, in that order; redriven or not. */
  deadLettered(): DeadLetteredEvent[];
  // eslint-disable-next-line @typescript-eslint/no-duplicate-type-constituents
  deadLettered<const P extends string>(name: P & Subscribable<P>): DeadLetteredEvent<NamesOf<P>>[];
  deadLettered(name?: string): DeadLetteredEvent[] {
    return named(this.#observation.records.deadLettered, name);
  }

  /** Forgets what was recorded. What is stored, and what waits, stays. */
  clear(): void {
    this.#observation.records.clear();
  }

  /** For `EventsTestingModule`. */
  static {
    observationOf = (events) => events.#observation;
  }
}

/** @throws EventsError `invalid_pattern`: a name that no event can have would always find nothing */
function named<E extends { readonly name: string }>(records: readonly E[], name: string | undefined): E[] {
  if (name === undefined) return [...records];
  assertPattern(name);
  return records.filter((record) => matches(name, record.name));
}
