import type { Failure } from '../../core/settlement';
import type { SubscriptionSpec } from '../../core/transport';
import type { DeadLetterStream } from './dead-letter-stream';
import { Dispatcher } from './dispatcher';
import type { EventStream, StoredEvent } from './event-stream';
import { Fifo } from './fifo';
import { subjectFilter, type SubjectFilter } from './subject-filter';
import type { MemorySubscription, WorkSource } from './subscription';
import { afterDelay, type Host, type Outcome, type Work } from './work';

/** Deliveries that are unsettled or wait for their retry, at most; new events wait then, as at a real server. */
const MAX_ACK_PENDING = 50_000;

/** A delivered event that is not settled for good. */
interface Pending {
  attempts: number;
  firstFailedAt: number | undefined;
  cancelRetry: (() => void) | undefined;
}

/** A position in the stream, shared by the instances of one handler, that outlives their subscriptions. */
export class MemoryDurable implements WorkSource {
  readonly dispatcher = new Dispatcher<MemorySubscription>(() => this.#next());
  readonly #pending = new Map<number, Pending>();
  readonly #due = new Fifo<number>();
  #filter: SubjectFilter;

  constructor(
    readonly spec: SubscriptionSpec,
    private readonly stream: EventStream,
    private readonly deadLetters: DeadLetterStream,
    /** The next sequence to look at. */
    private cursor: number,
  ) {
    this.#filter = subjectFilter(spec.patterns);
  }

  /** A newer version of the handler may listen to other events; what is pending stays. */
  update({ patterns }: SubscriptionSpec): void {
    this.#filter = subjectFilter(patterns);
  }

  /** Whether the event is still to be handled. */
  needs({ sequence, name }: StoredEvent): boolean {
    return this.#pending.has(sequence) || (sequence >= this.cursor && this.#filter(name));
  }

  notify(name: string): void {
    if (this.#filter(name)) this.dispatcher.wake();
  }

  problems(): readonly string[] {
    return [];
  }

  discard(): void {
    for (const { cancelRetry } of this.#pending.values()) cancelRetry?.();
    this.#pending.clear();
  }

  // Due re-deliveries come first; without failures the order is the stream's.
  #next(): Work | undefined {
    for (let due = this.#due.shift(); due !== undefined; due = this.#due.shift()) {
      const event = this.stream.get(due);
      const pending = this.#pending.get(due);
      if (event !== undefined && pending !== undefined) return this.#work(event, pending);
      this.#pending.delete(due); // the stream's limits dropped it
    }
    if (this.#pending.size >= MAX_ACK_PENDING) return undefined;
    this.cursor = Math.max(this.cursor, this.stream.first);
    while (this.cursor <= this.stream.last) {
      const event = this.stream.get(this.cursor++);
      if (event === undefined || !this.#filter(event.name)) continue;
      const pending = { attempts: 0, firstFailedAt: undefined, cancelRetry: undefined };
      this.#pending.set(event.sequence, pending);
      return this.#work(event, pending);
    }
    return undefined;
  }

  #work(event: StoredEvent, pending: Pending): Work {
    const { sequence, subject, name, headers, body, storedAt } = event;
    const attempt = ++pending.attempts;
    const fallbackId = `${this.stream.name}-${sequence}`;
    return {
      delivery: { subject, name, headers, body, attempt, storedAt, fallbackId },
      settle: (outcome, host) => this.#settle(event, pending, outcome, host),
    };
  }

  #settle(event: StoredEvent, pending: Pending, outcome: Outcome, host: Host): void {
    const { sequence } = event;
    switch (outcome.kind) {
      case 'hand-back':
        return this.#redeliver(sequence);
      case 'retry':
        pending.firstFailedAt ??= host.clock.now();
        pending.cancelRetry = afterDelay(host, outcome.delay, () => this.#redeliver(sequence));
        return;
      case 'dead-letter':
        this.#deadLetter(event, pending, outcome.failure, host);
        break;
      case 'ack':
    }
    this.#pending.delete(sequence);
  }

  #redeliver(sequence: number): void {
    this.#due.push(sequence);
    this.dispatcher.wake();
  }

  #deadLetter(event: StoredEvent, pending: Pending, failure: Failure, { clock }: Host): void {
    const { sequence, subject, storedAt } = event;
    const { durable, app, handler } = this.spec;
    const lastFailedAt = clock.now();
    this.deadLetters.store(event, storedAt, failure, {
      stream: this.stream.name,
      sequence,
      subject,
      storedAt,
      durable,
      app,
      handler,
      attempts: pending.attempts,
      firstFailedAt: pending.firstFailedAt ?? lastFailedAt,
      lastFailedAt,
    });
  }
}
