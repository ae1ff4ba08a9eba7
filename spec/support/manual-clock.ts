import type { Clock } from '../../lib/core/clock';

interface Task {
  readonly at: number;
  readonly run: () => void;
}

/** A clock that stands still until the test moves it. */
export class ManualClock implements Clock {
  readonly #tasks = new Set<Task>();
  readonly #watchers = new Set<() => void>();
  #now: number;
  #jumped = 0;

  constructor(start = '2026-01-02T03:04:05.000Z') {
    this.#now = Date.parse(start);
  }

  now(): number {
    return this.#now + this.#jumped;
  }

  monotonic(): number {
    return this.#now;
  }

  /** Sets the clock of the machine, as an administrator or NTP does: no time passes. */
  jump(ms: number): void {
    this.#jumped += ms;
  }

  after(ms: number, run: () => void): () => void {
    const task = { at: this.#now + ms, run };
    this.#tasks.add(task);
    for (const check of this.#watchers) check();
    return () => this.#tasks.delete(task);
  }

  /** How many tasks wait for their moment. */
  get waiting(): number {
    return this.#tasks.size;
  }

  /** Resolves once `count` tasks wait. */
  async untilWaiting(count: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (this.#tasks.size < count) return;
        this.#watchers.delete(check);
        resolve();
      };
      this.#watchers.add(check);
      check();
    });
  }

  /** Moves on, running what is due in order, at its own moment. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let task = this.#due(end); task !== undefined; task = this.#due(end)) {
      this.#tasks.delete(task);
      this.#now = Math.max(this.#now, task.at);
      task.run();
    }
    this.#now = end;
  }

  #due(end: number): Task | undefined {
    const due = [...this.#tasks].filter(({ at }) => at <= end);
    return due.sort((a, b) => a.at - b.at)[0];
  }
}
