const MAX_BUFFER = 500;

/**
 * How many events to ask the server for. What is buffered is what a restart hands back, so no more is buffered than
 * what was finished in the last second: at least `concurrency`, at most 500.
 */
export class PullDemand {
  readonly #concurrency: number;
  #limit: number;
  #requested = 0;
  #finished = 0;
  #rate = 0;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
    this.#limit = concurrency;
  }

  /** Events the server was asked for and has not delivered. */
  get requested(): number {
    return this.#requested;
  }

  /** How many may run at once. */
  get limit(): number {
    return this.#limit;
  }

  set limit(limit: number) {
    this.#limit = Math.min(limit, this.#concurrency);
  }

  /**
   * How many to request now; 0 if it is not worth a request. The caller then sends it.
   * @param held events running and buffered here
   */
  next(held: number): number {
    const buffer = Math.min(MAX_BUFFER, Math.max(this.#concurrency, this.#rate, this.#finished));
    // Held down, nothing is fetched beyond what may run.
    const target = this.#limit < this.#concurrency ? this.#limit : this.#concurrency + buffer;
    const missing = target - held - this.#requested;
    // Small requests cost the server as much as large ones: wait until a good part is missing.
    if (missing <= 0 || (this.#requested > 0 && missing < target / 4)) return 0;
    this.#requested += missing;
    return missing;
  }

  delivered(): void {
    if (this.#requested > 0) this.#requested--;
  }

  finished(): void {
    this.#finished++;
  }

  /** The server ended a request with this many undelivered. */
  returned(count: number): void {
    this.#requested = Math.max(0, this.#requested - count);
  }

  /** No request is alive any more: the connection or the consumer's leader is gone. */
  reset(): void {
    this.#requested = 0;
  }

  /** Called once a second. */
  tick(): void {
    this.#rate = this.#finished;
    this.#finished = 0;
  }
}
