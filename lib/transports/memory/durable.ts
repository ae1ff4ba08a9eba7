import { redrivesOf } from '../../core/dead-letter';
import { placeId } from '../../core/event-id';
import { matches } from '../../core/event-name';
import type { Failure } from '../../core/settlement';
import type { SubscriptionSpec } from '../../core/transport';
import type { DeadLetterStream } from './dead-letter-stream';
import type { EventStream, StoredEvent } from './event-stream';
import { Fifo } from './fifo';
import type { RedrivenEvent } from './redriven-event';
import { passes, subjectFilter, type SubjectFilter } from './subject-filter';
import { WorkSource } from './subscription';
import { afterDelay, type Host, type Outcome, type Work } from './work';

/** Deliveries that are unsettled or wait for their retry, at most; new events wait then, as at a real server. */
const MAX_ACK_PENDING = 50_000;

/** Milliseconds for which an event waits for a version of its handler that takes its name. */
const GIVE_UP = 10 * 60_000;
/** Milliseconds until it is offered again: at first, so often, and later. */
const QUICK_HAND_ON = 1000;
const QUICK_HAND_ONS = 10;
const HAND_ON = 30_000;

/** An event of the stream that was delivered, or one that was redriven: not settled for good. */
interface Pending {
  readonly event: StoredEvent | RedrivenEvent;
  attempts: number;
  failures: number;
  firstFailedAt: number | undefined;
  /** Since when, and how often, it was offered to versions of the handler that do not take its name. */
  handedOn: { readonly since: number; count: number } | undefined;
  cancelRetry: (() => void) | undefined;
}

/**
 * A position in the stream, shared by the instances of one handler, that outlives their subscriptions; so does what was
 * redriven to the handler. No event is a suspect of killing its process: that would take this broker with it.
 */
export class MemoryDurable extends WorkSource {
  // Each is made when it is first needed: of a thousand durables, most see nothing for long.
  private pending: Map<number, Pending> | undefined;
  private due: Fifo<Pending> | undefined;
  private redriven: Set<Pending> | undefined;
  private filter: SubjectFilter;

  constructor(
    readonly key: string | symbol,
    readonly spec: SubscriptionSpec,
    private readonly stream: EventStream,
    private readonly deadLetters: DeadLetterStream,
    /** The next sequence to look at. */
    private cursor: number,
  ) {
    super();
    this.filter = subjectFilter(spec.patterns);
  }

  /** Another version of the handler may listen to other events, beside those that run; what is pending stays. */
  update({ patterns }: SubscriptionSpec): void {
    this.filter = subjectFilter([...patterns, ...this.members.flatMap(({ spec }) => spec.patterns)]);
  }

  override takes({ patterns }: SubscriptionSpec, name: string): boolean {
    return patterns.some((pattern) => pattern === name || matches(pattern, name));
  }

  /** Whether the event is still to be handled. */
  needs({ sequence, name }: StoredEvent): boolean {
    return this.pending?.has(sequence) === true || (sequence >= this.cursor && passes(this.filter, name));
  }

  /** Events of the stream that are still to be handled. */
  get backlog(): number {
    return this.stream.toArray().filter((event) => this.needs(event)).length;
  }

  get ready(): boolean {
    if (this.due !== undefined && this.due.length > 0) return true;
    for (let sequence = Math.max(this.cursor, this.stream.first); sequence <= this.stream.last; sequence++) {
      const event = this.stream.get(sequence);
      if (event !== undefined && passes(this.filter, event.name)) return this.hasRoom;
    }
    return false;
  }

  get idle(): boolean {
    return this.cursor > this.stream.last && (this.due === undefined || this.due.length === 0);
  }

  notify(name: string): void {
    if (passes(this.filter, name)) this.wake();
  }

  /** Takes an event for this handler alone. */
  redrive(event: RedrivenEvent): void {
    const pending = pendingOf(event);
    (this.redriven ??= new Set()).add(pending);
    this.redeliver(pending);
  }

  problems(): readonly string[] {
    return [];
  }

  discard(): void {
    for (const { cancelRetry } of [...(this.pending?.values() ?? []), ...(this.redriven ?? [])])
      cancelRetry?.();
    this.pending?.clear();
    this.redriven?.clear();
  }

  /** What is due again or redriven comes first; without failures the order is the stream's. */
  take(): Work | undefined {
    for (let due = this.due?.shift(); due !== undefined; due = this.due?.shift()) {
      if (this.isKept(due)) return this.work(due);
      this.forget(due); // the stream's limits dropped it
    }
    if (!this.hasRoom) return undefined;
    this.cursor = Math.max(this.cursor, this.stream.first);
    while (this.cursor <= this.stream.last) {
      const event = this.stream.get(this.cursor++);
      if (event === undefined || !passes(this.filter, event.name)) continue;
      const pending = pendingOf(event);
      (this.pending ??= new Map()).set(event.sequence, pending);
      return this.work(pending);
    }
    return undefined;
  }

  private get hasRoom(): boolean {
    return this.pending === undefined || this.pending.size < MAX_ACK_PENDING;
  }

  private work(pending: Pending): Work {
    const { subject, name, headers, body, storedAt } = pending.event;
    const attempt = ++pending.attempts;
    const failures = pending.failures === attempt - 1 ? undefined : pending.failures;
    const { stream, sequence } = this.originOf(pending.event);
    const fallbackId = placeId(stream, sequence, storedAt);
    return {
      delivery: { subject, name, headers, body, attempt, failures, storedAt, fallbackId },
      settle: (outcome, host) => this.settle(pending, outcome, host),
    };
  }

  private settle(pending: Pending, outcome: Outcome, host: Host): void {
    switch (outcome.kind) {
      case 'hand-back':
        return this.redeliver(pending);
      case 'hand-on':
        return this.handOn(pending, host);
      case 'retry':
        pending.handedOn = undefined;
        pending.failures++;
        pending.firstFailedAt ??= host.clock.now();
        pending.cancelRetry = afterDelay(host, outcome.delay, () => this.redeliver(pending));
        return;
      case 'dead-letter':
        this.deadLetter(pending, outcome.failure, host);
        break;
      case 'ack':
    }
    this.forget(pending);
  }

  /** To a version that takes its name, if one comes within ten minutes. It has not run. */
  private handOn(pending: Pending, host: Host): void {
    pending.attempts--;
    const now = host.clock.now();
    const handedOn = (pending.handedOn ??= { since: now, count: 0 });
    if (now - handedOn.since < GIVE_UP) {
      const delay = ++handedOn.count <= QUICK_HAND_ONS ? QUICK_HAND_ON : HAND_ON;
      pending.cancelRetry = afterDelay(host, delay, () => this.redeliver(pending));
      return;
    }
    const { name } = pending.event;
    const message = `no instance of the service has taken '${name}' for '${this.spec.durable}' for ${GIVE_UP / 60_000} minutes`;
    this.deadLetter(pending, { reason: 'no_handler', type: 'NoHandler', message }, host);
    this.forget(pending);
  }

  private redeliver(pending: Pending): void {
    (this.due ??= new Fifo()).push(pending);
    this.wake();
  }

  private isKept({ event }: Pending): boolean {
    if ('origin' in event) return true;
    return this.pending?.has(event.sequence) === true && this.stream.get(event.sequence) !== undefined;
  }

  private forget(pending: Pending): void {
    if ('origin' in pending.event) this.redriven?.delete(pending);
    else this.pending?.delete(pending.event.sequence);
  }

  private originOf(event: StoredEvent | RedrivenEvent): RedrivenEvent['origin'] {
    return 'origin' in event ? event.origin : { stream: this.stream.name, sequence: event.sequence };
  }

  private deadLetter({ event, attempts, firstFailedAt }: Pending, failure: Failure, { clock }: Host): void {
    const { subject, storedAt } = event;
    const { durable, app, handler } = this.spec;
    const lastFailedAt = clock.now();
    const place = 'origin' in event ? event.place : { sequence: event.sequence, timestamp: storedAt };
    const origin = {
      ...this.originOf(event),
      subject,
      storedAt,
      durable,
      app,
      handler,
      attempts,
      firstFailedAt: firstFailedAt ?? lastFailedAt,
      lastFailedAt,
      ...('origin' in event ? { redrives: redrivesOf(event.headers) } : {}),
    };
    this.deadLetters.store(event, place, failure, origin, clock.monotonic());
  }
}

const pendingOf = (event: StoredEvent | RedrivenEvent): Pending => ({
  event,
  attempts: 0,
  failures: 0,
  firstFailedAt: undefined,
  handedOn: undefined,
  cancelRetry: undefined,
});
