type Task<T> = () => Promise<T>;

/** As `try { return await task() } finally { ended() }`, with half the promises. */
export function whenEnded<T>(task: Task<T>, ended: () => void): Promise<T> {
  let running: Promise<T>;
  try {
    running = task();
  } catch (error) {
    ended();
    throw error;
  }
  return running.then(
    (value) => {
      ended();
      return value;
    },
    (error: unknown) => {
      ended();
      throw error;
    },
  );
}

/** Tasks of one process, most of which run together; some run alone. Who wants to be alone waits for those who run. */
export class Turns {
  #running = 0;
  /** Those who want to run alone, one after the other; the rest waits for the last of them. */
  #alone: Promise<unknown> | undefined;
  #idle: (() => void) | undefined;

  together<T>(task: Task<T>): Promise<T> {
    return this.tryTogether() ? whenEnded(task, this.leave) : this.#later(task);
  }

  /** As `together`, for what says itself when it has ended: `leave`. `false` if it has to wait. */
  tryTogether(): boolean {
    if (this.#alone !== undefined) return false;
    this.#running++;
    return true;
  }

  readonly leave = (): void => {
    if (--this.#running === 0) this.#idle?.();
  };

  async #later<T>(task: Task<T>): Promise<T> {
    while (!this.tryTogether()) await this.#alone;
    return whenEnded(task, this.leave);
  }

  async alone<T>(task: Task<T>): Promise<T> {
    const before = this.#alone;
    const turn = (async () => {
      await before;
      if (this.#running > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
      return task();
    })();
    // What comes after waits for the end of it, however it ends.
    const ended = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#alone = ended;
    try {
      return await turn;
    } finally {
      if (this.#alone === ended) this.#alone = undefined;
    }
  }
}
