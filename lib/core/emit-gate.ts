import { EventsError } from './errors';

/** How much may be on its way to the broker at once. */
export interface EmitLimits {
  /** Events sent and not yet confirmed; what comes then waits its turn. */
  readonly inFlight: number;
  /** Events that wait their turn; what comes then is refused. 0 refuses instead of waiting. */
  readonly waiting: number;
  /** Bytes of all these bodies together; what comes then is refused. */
  readonly bytes: number;
}

interface Waiter {
  readonly size: number;
  readonly deadline: number;
  readonly go: () => void;
  readonly refuse: (error: EventsError) => void;
}

/**
 * Bounds what emits hold in memory: a flood of them that nobody awaits, or a broker that is slow or gone, ends in errors
 * that say so, not in a process without memory. Turns are given in the order of the emits.
 */
export class EmitGate {
  readonly #limits: EmitLimits;
  readonly #timeout: number;
  #inFlight = 0;
  #bytes = 0;
  #queue: Waiter[] = [];
  /** The first in the queue that still waits; those before it are gone. */
  #head = 0;
  #timer: NodeJS.Timeout | undefined;
  #idle: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  /** @param timeout milliseconds an emit waits for its turn */
  constructor(limits: EmitLimits, timeout: number) {
    this.#limits = limits;
    this.#timeout = timeout;
  }

  /**
   * @returns `undefined` if it may go at once, else what resolves when it may. `leave` when it is confirmed or failed
   * @throws EventsError `publish_overloaded`, also when its turn has not come in time: it has not been sent
   */
  enter(size: number): Promise<void> | undefined {
    const { inFlight, waiting, bytes } = this.#limits;
    // One event of any size goes through: it is the flood that is refused.
    if (this.#bytes > 0 && this.#bytes + size > bytes) throw this.#overloaded(`${bytes} bytes`);
    if (this.#inFlight < inFlight && this.#waiting === 0) {
      this.#inFlight++;
      this.#bytes += size;
      return undefined;
    }
    if (this.#waiting >= waiting) throw this.#overloaded(`${inFlight} events, and ${waiting} that wait`);
    this.#bytes += size;
    return new Promise((go, refuse) => {
      this.#queue.push({ size, deadline: performance.now() + this.#timeout, go, refuse });
      this.#timer ??= setTimeout(() => this.#refuseLate(), this.#timeout);
    });
  }

  leave(size: number): void {
    this.#inFlight--;
    this.#bytes -= size;
    const next = this.#shift();
    if (next === undefined) {
      if (this.#inFlight === 0) this.#onIdle?.();
      return;
    }
    this.#inFlight++;
    next.go();
  }

  /** @returns `undefined` if no emit is on its way or waits, else a promise that resolves when none is */
  idle(): Promise<void> | undefined {
    if (this.#inFlight === 0) return undefined;
    return (this.#idle ??= new Promise((resolve) => {
      this.#onIdle = () => {
        this.#idle = undefined;
        this.#onIdle = undefined;
        resolve();
      };
    }));
  }

  get #waiting(): number {
    return this.#queue.length - this.#head;
  }

  #shift(): Waiter | undefined {
    const next = this.#queue[this.#head];
    if (next === undefined) return undefined;
    this.#head++;
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    } else if (this.#head >= 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return next;
  }

  /** The queue is in the order of the deadlines. */
  #refuseLate(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (;;) {
      const first = this.#queue[this.#head];
      if (first === undefined) return;
      if (first.deadline > now) {
        this.#timer = setTimeout(() => this.#refuseLate(), first.deadline - now);
        return;
      }
      this.#shift();
      this.#bytes -= first.size;
      first.refuse(this.#overloaded(`${this.#limits.inFlight} events, for ${this.#timeout} ms`));
    }
  }

  #overloaded(limit: string): EventsError {
    return new EventsError(
      'publish_overloaded',
      `too much is on its way to the broker (${limit}): the event was not sent. Await what you emit, or raise \`pendingEmits\``,
      { retryable: true },
    );
  }
}
