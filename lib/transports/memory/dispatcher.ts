import { setImmediate } from 'node:timers';
import type { Work } from './work';

/** Deliveries in one turn of the event loop, so that handlers which only emit and return do not stop timers and sockets. */
const BUDGET = 256;

const NOBODY: readonly never[] = Object.freeze([]);

/** Who takes deliveries. */
export interface Member {
  /** Whether it takes one more at this moment. */
  readonly free: boolean;
  run(work: Work): void;
}

/** Where work comes from. */
export interface Queue {
  /** Whether there is surely nothing to take. Who adds something does so before it wakes the dispatcher. */
  readonly idle: boolean;
  /** Takes the next piece of work, if there is one. */
  take(): Work | undefined;
}

/** Hands the work of one durable or group to its members in turn, never in the caller's own stack. */
export class Dispatcher<M extends Member> {
  readonly #queue: Queue;
  #members: readonly M[] = NOBODY;
  #turn = 0;
  #woken = false;
  #budget = 0;

  constructor(queue: Queue) {
    this.#queue = queue;
  }

  get members(): readonly M[] {
    return this.#members;
  }

  join(member: M): void {
    // What is spread into a list leaves room for more.
    this.#members = this.#members.length === 0 ? [member] : this.#members.concat(member);
  }

  leave(member: M): void {
    this.#members = this.#members.filter((other) => other !== member);
  }

  /** There may be work. From `node:timers`, so that a test's faked globals do not stop the broker. */
  wake(): void {
    // Nothing to take, no turn to take it in: a thousand handlers start at once, most with nothing to do.
    if (this.#woken || this.#queue.idle) return;
    this.#woken = true;
    setImmediate(() => {
      this.#woken = false;
      this.#budget = BUDGET;
      this.#dispatch();
    });
  }

  /** A member has room again. Not to be called from `publish`: it may deliver before it returns. */
  resume(): void {
    if (!this.#woken) this.#dispatch();
  }

  #dispatch(): void {
    for (let index = this.#freeMember(); index !== undefined; index = this.#freeMember()) {
      if (this.#budget === 0) return this.wake();
      const work = this.#queue.take();
      if (work === undefined) return;
      this.#budget--;
      this.#turn = index + 1;
      this.#members[index]?.run(work);
    }
  }

  #freeMember(): number | undefined {
    const { length } = this.#members;
    for (let i = 0; i < length; i++) {
      const index = (this.#turn + i) % length;
      if (this.#members[index]?.free) return index;
    }
    return undefined;
  }
}
