import type { Clock } from '../../core/clock';

interface Task {
  readonly at: number;
  readonly run: () => void;
}

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  readonly #tasks = new Set<Task>();
  #now: number;

  constructor(start: number) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const task = { at: this.#now + ms, run };
    this.#tasks.add(task);
    return () => this.#tasks.delete(task);
  }

  /** Runs what is due already. @returns whether there was something */
  runDue(): boolean {
    const due = [...this.#tasks].filter(({ at }) => at <= this.#now).sort((a, b) => a.at - b.at);
    for (const task of due) {
      // The one before may have cancelled it.
      if (this.#tasks.delete(task)) task.run();
    }
    return due.length > 0;
  }

  /** Goes to the next moment at which something is due, and runs it. @returns `false` at `end`, with nothing left until then */
  step(end: number): boolean {
    const next = Math.min(...[...this.#tasks].map(({ at }) => at));
    this.#now = Math.max(this.#now, Math.min(next, end));
    return next <= end && this.runDue();
  }
}
