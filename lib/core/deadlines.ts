/** Something that has until a moment to end. */
export interface Deadline {
  /** It has ended in time, and does not expire any more. */
  end(): void;
}

class Entry implements Deadline {
  constructor(
    readonly at: number,
    public expire: (() => void) | undefined,
    private readonly ended: () => void,
  ) {}

  end(): void {
    if (this.expire === undefined) return;
    this.expire = undefined;
    this.ended();
  }
}

/** Entries that have ended and are kept all the same, at least. */
const SLACK = 1024;

/**
 * Deadlines of one duration, which expire in the order in which they begin: one timer for the first of them, where one
 * for each event cost as much as calling its handler. The timer never keeps the process alive.
 */
export class Deadlines {
  readonly #duration: number;
  #entries: Entry[] = [];
  #running = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param duration milliseconds */
  constructor(duration: number) {
    this.#duration = duration;
  }

  /** @param expire called when it has not ended in time */
  begin(expire: () => void): Deadline {
    // Those that have ended stay in line until there are as many as still run: each is moved once or twice.
    if (this.#entries.length > 2 * this.#running + SLACK) this.#forgetEnded();
    const entry = new Entry(performance.now() + this.#duration, expire, this.#onEnd);
    this.#entries.push(entry);
    this.#running++;
    this.#timer ??= this.#arm(this.#duration);
    return entry;
  }

  readonly #onEnd = (): void => {
    this.#running--;
  };

  #arm(delay: number): NodeJS.Timeout {
    return setTimeout(() => this.#expire(), Math.ceil(delay)).unref();
  }

  #expire(): void {
    this.#timer = undefined;
    this.#forgetEnded();
    const now = performance.now();
    const late = this.#entries.findIndex(({ at }) => at > now);
    const expired = this.#entries.splice(0, late === -1 ? this.#entries.length : late);
    this.#running -= expired.length;
    const next = this.#entries[0];
    if (next !== undefined) this.#timer = this.#arm(next.at - now);
    for (const entry of expired) {
      const { expire } = entry;
      entry.expire = undefined;
      expire?.();
    }
  }

  #forgetEnded(): void {
    this.#entries = this.#entries.filter(({ expire }) => expire !== undefined);
  }
}
