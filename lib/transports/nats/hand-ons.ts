import { GIVE_UP, type Position } from './pull-source';

/**
 * Hand-ons of one event by this instance before it may be given up, however long it has waited: the server gives each instance that
 * asks its share, so that another one has been asked as often.
 */
const MIN_HAND_ONS = 30;
/** Hand-ons of one event in quick succession; after them the delays grow. */
const QUICK_HAND_ONS = 20;
/** Milliseconds. */
const QUICK_DELAY = 250;
const MAX_DELAY = 10_000;
const GROWTH = 1.25;
const MAX_EVENTS = 50_000;

interface HandOn {
  readonly timestamp: string;
  /** Milliseconds on the clock of this process. */
  readonly since: number;
  count: number;
}

/**
 * Events of names that only other versions of a handler take. The server gives them to any instance; one without the name hands
 * them on. The delays are random: constant ones can keep in step with the server's rotation, which then gives an event to the same
 * instance for ever. The more events wait here, the longer they are, so that all together cost about as much.
 */
export class HandOns {
  readonly #events = new Map<number, HandOn>();

  constructor(
    private readonly now: () => number = () => performance.now(),
    private readonly random: () => number = Math.random,
  ) {}

  /** @returns milliseconds until the event is delivered again, or `undefined` if it is to be given up */
  next({ sequence, timestamp }: Position): number | undefined {
    let event = this.#events.get(sequence);
    if (event?.timestamp !== timestamp) {
      event = { timestamp, since: this.now(), count: 0 };
      this.#events.set(sequence, event);
      if (this.#events.size > MAX_EVENTS) this.#events.delete(this.#events.keys().next().value ?? sequence);
    }
    event.count++;
    if (event.count > MIN_HAND_ONS && this.now() - event.since >= GIVE_UP) {
      this.#events.delete(sequence);
      return undefined;
    }
    const shortest = Math.max(QUICK_DELAY, this.#events.size);
    const grown = shortest * GROWTH ** Math.max(0, event.count - QUICK_HAND_ONS);
    return Math.min(grown, Math.max(MAX_DELAY, shortest)) * (0.5 + this.random());
  }

  /** Everything up to this sequence is settled, by whomever. */
  settledTo(floor: number): void {
    for (const sequence of this.#events.keys()) if (sequence <= floor) this.#events.delete(sequence);
  }
}
