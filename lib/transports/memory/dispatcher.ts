import { setImmediate } from 'node:timers';
import type { Work } from './work';

/** Deliveries in one turn of the event loop, so that handlers which only emit and return do not stop timers and sockets. */
const BUDGET = 256;

const NOBODY: readonly never[] = Object.freeze([]);

/** Who takes deliveries. */
export interface Member {
  /** Whether it takes one more at this moment. */
  readonly free: boolean;
  /** Whether it is for this member; absent: all is. */
  takes?(work: Work): boolean;
  run(work: Work): void;
}

/** Hands the work of one durable or group to its members in turn, never in the caller's own stack. */
export abstract class Dispatcher<M extends Member> {
  // Not `#first`, as elsewhere: a durable is there for each handler, and is to be small (ADR 10). The same holds for what extends
  // this, and for subscriptions.
  /** Nearly always there is one, which needs no list. */
  private first: M | undefined = undefined;
  private others: readonly M[] = NOBODY;
  private turn = 0;
  private woken = false;
  private budget = 0;

  /** Whether there is surely nothing to take. Who adds something does so before it wakes the dispatcher. */
  abstract get idle(): boolean;

  /** Takes the next piece of work, if there is one. */
  protected abstract take(): Work | undefined;

  /** Whether nobody takes deliveries. */
  get empty(): boolean {
    return this.first === undefined;
  }

  /** A list made for who asks. */
  get members(): readonly M[] {
    return this.first === undefined ? NOBODY : [this.first, ...this.others];
  }

  join(member: M): void {
    if (this.first === undefined) this.first = member;
    else this.others = [...this.others, member];
  }

  leave(member: M): void {
    const [first, ...others] = this.members.filter((other) => other !== member);
    this.first = first;
    this.others = others;
  }

  /** There may be work. From `node:timers`, so that a test's faked globals do not stop the broker. */
  wake(): void {
    // Nothing to take, no turn to take it in: a thousand handlers start at once, most with nothing to do.
    if (!this.woken && !this.idle) this.dispatchSoon();
  }

  private dispatchSoon(): void {
    this.woken = true;
    setImmediate(() => {
      this.woken = false;
      this.budget = BUDGET;
      this.dispatch();
    });
  }

  /** A member has room again. Not to be called from `publish`: it may deliver before it returns. */
  resume(): void {
    if (!this.woken) this.dispatch();
  }

  private dispatch(): void {
    for (let index = this.freeMember(); index !== undefined; index = this.freeMember()) {
      if (this.budget === 0) return this.wake();
      const work = this.take();
      if (work === undefined) return;
      this.budget--;
      const taker = this.others.length === 0 ? index : (this.freeMember(work) ?? index);
      this.turn = taker + 1;
      this.member(taker)?.run(work);
    }
  }

  /** The next one in turn; @param work of those that take it */
  private freeMember(work?: Work): number | undefined {
    const length = this.others.length + 1;
    for (let i = 0; i < length; i++) {
      const index = (this.turn + i) % length;
      const member = this.member(index);
      if (member?.free && (work === undefined || member.takes?.(work) !== false)) return index;
    }
    return undefined;
  }

  private member(index: number): M | undefined {
    return index === 0 ? this.first : this.others[index - 1];
  }
}
