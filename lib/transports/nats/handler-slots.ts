import type { Settlement } from '../../core/settlement';
import { whenEnded } from './turns';

const MAX_WAITING = 2;
const HAND_BACK: Settlement = Object.freeze({ kind: 'retry', delay: 0 });

/**
 * The slots of one handler, shared by its events and by what is redriven to it, so that both together keep to its
 * `concurrency` and to an open circuit.
 */
export class HandlerSlots {
  readonly #concurrency: number;
  readonly #waiting: ((free: boolean) => void)[] = [];
  #limit: number;
  #running = 0;
  #closed = false;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
    this.#limit = concurrency;
  }

  /** Whether what is redriven had better come again later than wait here, where it keeps others from coming. */
  get crowded(): boolean {
    return this.#limit === 0 || (this.#running >= this.#limit && this.#waiting.length >= MAX_WAITING);
  }

  limit(concurrency: number): void {
    this.#limit = Math.min(concurrency, this.#concurrency);
    this.#admit();
  }

  /** Runs the task when there is a slot; hands it back when the handler stops before. */
  run(task: () => Promise<Settlement>): Promise<Settlement> {
    return this.tryEnter() ? whenEnded(task, this.leave) : this.#later(task);
  }

  async #later(task: () => Promise<Settlement>): Promise<Settlement> {
    const free = !this.#closed && (await new Promise<boolean>((resolve) => this.#waiting.push(resolve)));
    return free ? whenEnded(task, this.leave) : HAND_BACK;
  }

  /** Takes a slot if one is free, without a promise; `leave` gives it back. */
  tryEnter(): boolean {
    if (this.#running >= this.#limit) return false;
    this.#running++;
    return true;
  }

  readonly leave = (): void => {
    this.#running--;
    if (this.#waiting.length > 0) this.#admit();
  };

  /** Nothing that waits begins any more. */
  close(): void {
    this.#closed = true;
    for (const resolve of this.#waiting.splice(0)) resolve(false);
  }

  #admit(): void {
    while (this.#running < this.#limit) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#running++;
      next(true);
    }
  }
}
