/** Something that has until a moment to end. A link of the list that its deadlines keep. */
export interface Expiring {
  /** By the monotonic clock. This and the next two are the deadlines' own. */
  expiresAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  /** It has ended or expired: its deadline has no meaning any more. */
  ended: boolean;
  /** Called once if it has not ended in time; `ended` is true by then. */
  expire(): void;
}

/**
 * Deadlines of one duration, which expire in the order in which they begin: one timer for the first of them, where one
 * for each event cost as much as calling its handler. The timer never keeps the process alive.
 */
export class Deadlines {
  readonly #duration: number;
  #first: Expiring | undefined;
  #last: Expiring | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param duration milliseconds */
  constructor(duration: number) {
    this.#duration = duration;
  }

  /** To be ended with `end` if it is not to expire. */
  begin(entry: Expiring): void {
    entry.expiresAt = performance.now() + this.#duration;
    const last = this.#last;
    entry.previous = last;
    this.#last = entry;
    if (last === undefined) this.#first = entry;
    else last.next = entry;
    this.#timer ??= this.#arm(this.#duration);
  }

  /** It has ended in time: it does not expire any more, and is not held any more. Can be called again. */
  end(entry: Expiring): void {
    if (entry.ended) return;
    entry.ended = true;
    const { previous, next } = entry;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    entry.previous = undefined;
    entry.next = undefined;
  }

  #arm(delay: number): NodeJS.Timeout {
    return setTimeout(() => this.#expire(), Math.ceil(delay)).unref();
  }

  #expire(): void {
    const now = performance.now();
    try {
      for (let first = this.#first; first !== undefined && first.expiresAt <= now; first = this.#first) {
        this.end(first);
        first.expire();
      }
    } finally {
      // Only now: what begins in an expiry, as the next event of that handler does, is due after all the others.
      const first = this.#first;
      this.#timer = first === undefined ? undefined : this.#arm(first.expiresAt - performance.now());
    }
  }
}
