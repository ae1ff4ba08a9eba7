/** Milliseconds after which what has not happened is taken to never happen. */
const PATIENCE = 15_000;
const POLL_INTERVAL = 20;

/** Keeps what arrives, and lets a test wait for it. */
export class Collector<T> {
  readonly items: T[] = [];
  readonly #watchers = new Set<() => void>();

  /** @param what stands in the message of a wait that failed */
  constructor(
    private readonly what: string,
    private readonly show: (item: T) => string = (item) => JSON.stringify(item),
  ) {}

  add(item: T): void {
    this.items.push(item);
    for (const check of [...this.#watchers]) check();
  }

  /** Resolves to all items once there are at least `count`. */
  atLeast(count: number): Promise<readonly T[]> {
    return this.until((items) => items.length >= count, `${count} of them`);
  }

  /**
   * Resolves to all items as soon as the condition holds; it is looked at after each arrival.
   * @throws Error after 15 s, with what was `awaited` and what is there
   */
  async until(condition: (items: readonly T[]) => boolean, awaited: string): Promise<readonly T[]> {
    const inTime = await new Promise<boolean>((resolve) => {
      const check = (): void => {
        if (condition(this.items)) finish(true);
      };
      const finish = (outcome: boolean): void => {
        clearTimeout(timer);
        this.#watchers.delete(check);
        resolve(outcome);
      };
      const timer = setTimeout(() => finish(false), PATIENCE);
      this.#watchers.add(check);
      check();
    });
    if (inTime) return this.items;
    throw new Error(`${this.what}: waited ${PATIENCE} ms for ${awaited}, but there are ${this.summary()}`);
  }

  private summary(): string {
    const last = this.items.slice(-10).map((item) => this.show(item).slice(0, 100));
    return `${this.items.length}${last.length === 0 ? '' : `, the last: ${last.join(', ')}`}`;
  }
}

/** For what can only be asked for: reads until the condition holds. @throws Error after 15 s */
export async function eventually<T>(
  read: () => Promise<T>,
  condition: (value: T) => boolean,
  explain: (value: T) => string,
): Promise<T> {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const value = await read();
    if (condition(value)) return value;
    if (Date.now() > deadline) throw new Error(`waited ${PATIENCE} ms, but ${explain(value)}`);
    await sleep(POLL_INTERVAL);
  }
}

/** Only for tests about time itself. */
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
