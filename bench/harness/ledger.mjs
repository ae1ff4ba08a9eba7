import { FIRST_NUMBER, indexOf } from './event.mjs';
import { monotonic } from './monotonic.mjs';

/** What a subscriber received in one trial, checked against what was sent. */
export class Ledger {
  #seen;
  /** Compared when all is over: a set that grows with each event took 6 % of a subscriber's time. */
  #ids = [];
  #left;
  #wrong = 0;
  #sum = 0;
  #expects;
  /** Microseconds from emit to handler, of events with a stamp. */
  latencies = [];
  firstAt = 0;
  lastAt = 0;

  /** @param {{ attributes: boolean, dates: boolean }} expects what each event must have besides its number */
  constructor(count, copies, expects) {
    this.count = count;
    this.copies = copies;
    this.#seen = new Uint8Array(count);
    this.#left = count * copies;
    this.#expects = expects;
    this.complete = new Promise((resolve) => (this.completed = resolve));
  }

  /** The attributes are those of the event's headers; a contender without headers gives none. */
  add(event, id, correlationId, source, name, time) {
    const at = monotonic();
    if (this.firstAt === 0) {
      this.firstAt = at;
      this.onFirst?.();
    }
    if (event.sentAt !== undefined) this.latencies.push(at - event.sentAt);
    const index = indexOf(event);
    if (!(index >= 0 && index < this.count) || this.#seen[index] === this.copies) this.#wrong++;
    else this.#seen[index]++;
    this.#sum += event.number;
    if (this.#expects.attributes) {
      this.#ids.push(id);
      if (correlationId !== id || source === undefined || name === undefined || time === undefined)
        this.#wrong++;
    }
    if (this.#expects.dates && !(event.timestamp instanceof Date)) this.#wrong++;
    if (--this.#left === 0) {
      this.lastAt = at;
      this.completed();
    }
  }

  /** @returns {string | undefined} what is not as it should be */
  get problem() {
    const { count, copies } = this;
    const received = count * copies - this.#left;
    const sum = copies * ((count * (count - 1)) / 2 + count * FIRST_NUMBER);
    if (this.#left !== 0) return `${received} of ${count * copies} events were handled`;
    if (this.#wrong > 0) return `${this.#wrong} events twice, or not as they were sent`;
    if (this.#sum !== sum) return `the numbers add up to ${this.#sum} instead of ${sum}`;
    if (!this.#expects.attributes) return undefined;
    const different = new Set(this.#ids).size;
    return different === count ? undefined : `${different} different ids of ${count}`;
  }
}
