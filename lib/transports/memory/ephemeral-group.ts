import { setImmediate } from 'node:timers';
import { placeId } from '../../core/event-id';
import type { Failure } from '../../core/settlement';
import type { SubscriptionSpec } from '../../core/transport';
import type { DeadLetterStream } from './dead-letter-stream';
import { Fifo } from './fifo';
import type { BrokerMessage } from './message';
import { passes, subjectFilter, type SubjectFilter } from './subject-filter';
import { WorkSource, type MemorySubscription } from './subscription';
import { afterDelay, type Host, type Outcome, type Work } from './work';

/**
 * Messages that reach the buffer in one turn of the event loop, as from a socket: a burst that is published at once
 * drops nothing where handlers keep up.
 */
const ARRIVALS = 128;

/** Messages on their way to the buffer from which on who publishes has to wait, as at a full socket. */
const MAX_ARRIVING = 1024;

interface Entry {
  readonly message: BrokerMessage;
  /** Unique in the cluster. */
  readonly number: number;
  attempts: number;
  firstFailedAt: number | undefined;
}

/** A queue group of core NATS: what is published while it has members, kept in a bounded buffer. */
export class EphemeralGroup extends WorkSource {
  readonly #arriving = new Fifo<Entry>();
  readonly #buffer = new Fifo<Entry>();
  readonly #retries = new Set<() => void>();
  #filter: SubjectFilter;
  /** Dropped since the buffer was last empty. */
  #dropped = 0;
  #receiving = false;
  #room: Promise<void> | undefined;
  #makeRoom = (): void => {};

  /**
   * @param host of the first member, which speaks for the group
   * @param onLast called when the last member begins to stop: from then on nothing may be offered, and nobody may join
   */
  constructor(
    readonly key: string | symbol,
    readonly spec: SubscriptionSpec,
    private readonly clusterId: string,
    private readonly deadLetters: () => DeadLetterStream | undefined,
    private readonly host: Host,
    private readonly onLast: (group: EphemeralGroup) => void,
  ) {
    super();
    this.#filter = subjectFilter(spec.patterns);
  }

  update({ patterns }: SubscriptionSpec): void {
    this.#filter = subjectFilter(patterns);
  }

  /** Takes a message that was just published. What does not fit into the buffer when it arrives is dropped. */
  offer(message: BrokerMessage, number: number): void {
    if (!passes(this.#filter, message.name)) return;
    this.#arriving.push({ message, number, attempts: 0, firstFailedAt: undefined });
    this.#receive();
  }

  /**
   * Resolves when there is room for more to arrive; `undefined` if there is. Who publishes waits for it: a program that
   * emits in a loop gives this process no turn in which anything could be taken, or dropped.
   */
  get room(): Promise<void> | undefined {
    if (this.#arriving.length < MAX_ARRIVING) return undefined;
    return (this.#room ??= new Promise((resolve) => {
      this.#makeRoom = () => {
        this.#room = undefined;
        this.#makeRoom = () => {};
        resolve();
      };
    }));
  }

  get backlog(): number {
    return this.#arriving.length + this.#buffer.length;
  }

  get ready(): boolean {
    return this.backlog > 0;
  }

  get idle(): boolean {
    return this.backlog === 0;
  }

  /** There is no broker to hand the buffer back to: the last member works it off. */
  override worksOff(member: MemorySubscription): boolean {
    if (this.members.some((other) => other !== member && !other.stopping)) return false;
    this.onLast(this);
    return true;
  }

  problems(): readonly string[] {
    return this.#dropped === 0 ? [] : [this.#describeDrops()];
  }

  /** The last member has left: nobody else can take what is here. */
  discard(): void {
    const lost = this.backlog + this.#retries.size;
    for (const cancel of this.#retries) cancel();
    this.#retries.clear();
    this.#arriving.clear();
    this.#buffer.clear();
    this.#makeRoom();
    if (lost > 0) this.host.logger.warn(`${lost} events of ${this.#who} were lost when it stopped`);
  }

  get #limit(): number {
    return this.members.reduce((sum, { spec }) => sum + Math.max(1000, 10 * spec.concurrency), 0);
  }

  get #who(): string {
    return `the ephemeral subscription '${this.spec.handler}' of '${this.spec.app}'`;
  }

  #describeDrops(): string {
    return `${this.#who} is too slow: its buffer of ${this.#limit} events is full, ${this.#dropped} dropped so far`;
  }

  #receive(): void {
    if (this.#receiving) return;
    this.#receiving = true;
    setImmediate(() => {
      this.#receiving = false;
      const limit = this.#limit;
      for (let i = 0; i < ARRIVALS; i++) {
        const entry = this.#arriving.shift();
        if (entry === undefined) break;
        if (this.#buffer.length + this.#retries.size < limit) this.#buffer.push(entry);
        else if (++this.#dropped === 1) this.host.logger.warn(this.#describeDrops());
      }
      this.wake();
      if (this.#arriving.length <= MAX_ARRIVING / 2) this.#makeRoom();
      if (this.#arriving.length > 0) this.#receive();
    });
  }

  take(): Work | undefined {
    const entry = this.#buffer.shift();
    if (this.backlog === 0) this.#dropped = 0;
    if (entry === undefined) return undefined;
    const { subject, name, headers, body, storedAt } = entry.message;
    const attempt = ++entry.attempts;
    const fallbackId = placeId(`${this.clusterId}-ephemeral`, entry.number, storedAt);
    return {
      delivery: { subject, name, headers, body, attempt, storedAt, fallbackId },
      settle: (outcome, host) => this.#settle(entry, outcome, host),
    };
  }

  #settle(entry: Entry, outcome: Outcome, host: Host): void {
    if (outcome.kind === 'dead-letter') this.#deadLetter(entry, outcome.failure, host);
    if (outcome.kind === 'hand-back') this.#redeliver(entry);
    if (outcome.kind === 'retry') {
      entry.firstFailedAt ??= host.clock.now();
      const cancel = afterDelay(host, outcome.delay, () => {
        this.#retries.delete(cancel);
        this.#redeliver(entry);
      });
      this.#retries.add(cancel);
    }
  }

  #redeliver(entry: Entry): void {
    this.#buffer.push(entry);
    this.wake();
  }

  #deadLetter({ message, number, attempts, firstFailedAt }: Entry, failure: Failure, host: Host): void {
    const { durable, app, handler } = this.spec;
    const deadLetters = this.deadLetters();
    if (deadLetters === undefined) {
      const why = `${failure.reason}, ${failure.type}: ${failure.message}`;
      host.logger.error(`'${message.name}' is lost, ${this.#who} failed ${attempts} times (${why})`);
      return;
    }
    const { subject, storedAt } = message;
    const lastFailedAt = host.clock.now();
    const origin = {
      stream: this.clusterId,
      sequence: 0,
      subject,
      storedAt,
      durable,
      app,
      handler,
      attempts,
      firstFailedAt: firstFailedAt ?? lastFailedAt,
      lastFailedAt,
    };
    deadLetters.store(message, { sequence: 0, timestamp: number }, failure, origin, host.clock.monotonic());
  }
}
