import { pause } from './pause';

/** One run of a task for all who ask for it meanwhile. Runs never overlap. */
export class Coalesced {
  readonly #task: () => Promise<void>;
  readonly #interval: () => number;
  #next: Promise<void> | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #startedAt = -Infinity;

  /** @param interval milliseconds from the start of one run to that of the next, at least */
  constructor(task: () => Promise<void>, interval: () => number) {
    this.#task = task;
    this.#interval = interval;
  }

  /** Settles as the first run that begins after this call. */
  run(): Promise<void> {
    return (this.#next ??= this.#begin());
  }

  async #begin(): Promise<void> {
    await this.#running;
    const wait = this.#startedAt + this.#interval() - performance.now();
    if (wait > 0) await pause(wait);
    this.#next = undefined;
    this.#startedAt = performance.now();
    const run = this.#task();
    this.#running = run.catch(() => undefined);
    return run;
  }
}
