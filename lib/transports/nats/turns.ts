type Task<T> = () => Promise<T>;

/** Tasks of one process, most of which run together; some run alone. Who wants to be alone waits for those who run. */
export class Turns {
  #running = 0;
  /** Those who want to run alone, one after the other; the rest waits for the last of them. */
  #alone: Promise<unknown> | undefined;
  #idle: (() => void) | undefined;

  async together<T>(task: Task<T>): Promise<T> {
    while (this.#alone !== undefined) await this.#alone;
    this.#running++;
    try {
      return await task();
    } finally {
      if (--this.#running === 0) this.#idle?.();
    }
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
