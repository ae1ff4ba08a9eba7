/** Milliseconds for which nothing is sent after the server refused the only message that was outstanding. */
const PAUSE = 100;

/**
 * Limits how many messages are outstanding at a stream that said "too many", as congestion control does: half as many after
 * each refusal, one more after each acknowledgement.
 */
export class SendWindow {
  #limit: number;
  /** Messages that were outstanding when the stream said so first. The window is over when that many may be again. */
  readonly #ceiling: number;
  /** Refusals of what was sent up to this turn are due to the limit before. */
  #halvedAt: number;
  #closedUntil = 0;
  /** Counted anew before each use. */
  outstanding = 0;

  /** @param turn the last message that was sent */
  constructor(outstanding: number, turn: number) {
    this.#ceiling = outstanding;
    this.#limit = half(outstanding);
    this.#halvedAt = turn;
    if (outstanding <= 1) this.#closedUntil = performance.now() + PAUSE;
  }

  /**
   * @param turn of the refused message
   * @param last the last message that was sent
   */
  refused(turn: number, last: number, now: number): void {
    if (turn <= this.#halvedAt) return;
    if (this.#limit === 1) this.#closedUntil = now + PAUSE;
    this.#limit = half(this.#limit);
    this.#halvedAt = last;
  }

  /** @returns whether the window is over */
  acknowledged(): boolean {
    return ++this.#limit > this.#ceiling;
  }

  isOpen(now: number): boolean {
    return this.outstanding < this.#limit && now >= this.#closedUntil;
  }
}

const half = (count: number): number => Math.max(1, Math.floor(count / 2));
