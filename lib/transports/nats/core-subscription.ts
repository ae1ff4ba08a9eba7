import type { ReceivedMessage } from './received-message';
import { systemClock } from '../../core/clock';
import { EventsError } from '../../core/errors';
import type { EventsLogger } from '../../core/logger';
import { textOf } from '../../core/thrown';
import { eventSubject } from '../../core/names';
import { whenSettled } from '../../core/pending-settlement';
import type { Failure, Settlement } from '../../core/settlement';
import type { Consumer, SubscriptionSpec, TransportSubscription } from '../../core/transport';
import { until } from './api';
import type { NatsLink } from './connection';
import type { DeadLetters } from './dead-letters';
import { NatsDelivery } from './nats-delivery';
import { DRAIN_LIMIT, pause } from './pause';
import type { SteadySubscription } from './steady-subscription';

const MIN_BUFFER = 1000;
// Node fires a longer timer at once.
const MAX_TIMER = 2 ** 31 - 1;

type FailedSettlement = Exclude<Settlement, { kind: 'ack' }>;

export interface CoreParts {
  readonly link: NatsLink;
  /** Absent where there is no dead-letter stream. */
  readonly deadLetters: DeadLetters | undefined;
  readonly clusterId: string;
  readonly logger: EventsLogger;
}

/**
 * An ephemeral subscription: core NATS, what is published while it listens. Retries wait in this process; what does not
 * fit into the bounded buffer, or waits when the process ends, is lost and told.
 */
export class CoreSubscription implements TransportSubscription {
  readonly #parts: CoreParts;
  readonly #spec: SubscriptionSpec;
  readonly #consumer: Consumer;
  readonly #capacity: number;
  readonly #subscriptions: SteadySubscription[];
  readonly #buffer: NatsDelivery[] = [];
  readonly #retries = new Map<NodeJS.Timeout, NatsDelivery>();
  readonly #firstFailedAt = new WeakMap<NatsDelivery, number>();
  #state: 'waiting' | 'started' | 'stopping' = 'waiting';
  /** Stays when it stops: what is buffered by then is handled, of one that never began it is not. */
  #started = false;
  #running = 0;
  #pumping = false;
  #limit = Infinity;
  #dropped = 0;
  #dropping = false;
  #idle: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  constructor(parts: CoreParts, spec: SubscriptionSpec, consumer: Consumer) {
    this.#parts = parts;
    this.#spec = spec;
    this.#consumer = consumer;
    this.#capacity = Math.max(MIN_BUFFER, 10 * spec.concurrency);
    this.#subscriptions = spec.patterns.map((pattern) =>
      parts.link.subscribe(eventSubject(parts.clusterId, pattern), {
        ...(spec.broadcast ? {} : { queue: spec.durable }),
        onMessage: (msg) => this.#onMessage(msg),
      }),
    );
  }

  /**
   * Resolves when it holds at the server, and a refusal would have arrived.
   * @throws EventsError `permission_denied`, `jetstream_unavailable` after `timeout` milliseconds without a connection
   */
  async established(timeout: number): Promise<void> {
    const { handler } = this.#spec;
    await until(timeout, `handler '${handler}'`, () => this.#parts.link.flush(timeout));
    if (this.problem === undefined) return;
    throw new EventsError('permission_denied', `cannot subscribe '${handler}': ${this.problem}`);
  }

  start(): void {
    if (this.#state !== 'waiting') return;
    this.#state = 'started';
    this.#started = true;
    this.#pump();
  }

  limit(concurrency: number): void {
    if (this.#state === 'stopping') return;
    this.#limit = concurrency;
    this.#pump();
  }

  get problem(): string | undefined {
    const refused = this.#subscriptions.find((each) => each.refused !== undefined)?.refused;
    if (refused !== undefined) return `subscription '${this.#spec.durable}': ${refused}`;
    return !this.#dropping
      ? undefined
      : `subscription '${this.#spec.durable}' was too slow and lost ${this.#dropped} events`;
  }

  stop(timeout: number): Promise<void> {
    return (this.#stopped ??= this.#stop(timeout));
  }

  #onMessage(msg: ReceivedMessage): void {
    // The client must never see an error of ours: it would stop reading for everybody.
    try {
      // What waits for its next attempt is held in memory as well.
      const held = this.#buffer.length + this.#retries.size;
      if (held >= this.#capacity) return this.#drop();
      // One event taken is not the end of a burst: with every other one it would begin, and be told, again.
      if (this.#dropping && held <= this.#capacity / 2) this.#endBurst();
      this.#buffer.push(new NatsDelivery(msg, this.#parts.clusterId, undefined, 1, systemClock.now()));
      this.#pump();
    } catch (failure) {
      this.#parts.logger.error(`'${this.#spec.durable}' could not take a message: ${textOf(failure)}`);
    }
  }

  #drop(): void {
    this.#dropped++;
    if (this.#dropping) return;
    this.#dropping = true;
    this.#parts.logger.warn(
      `'${this.#spec.handler}' is too slow for its ephemeral subscription: ${this.#capacity} events wait, further ones are lost`,
    );
  }

  #endBurst(): void {
    this.#parts.logger.warn(
      `'${this.#spec.handler}' keeps up again; its ephemeral subscription lost ${this.#dropped} events`,
    );
    this.#dropping = false;
    this.#dropped = 0;
  }

  #pump(): void {
    // Handlers that do nothing asynchronous end within `#run`: the loop goes on, not one within the other.
    if (!this.#started || this.#pumping) return;
    this.#pumping = true;
    while (this.#running < Math.min(this.#limit, this.#spec.concurrency)) {
      const delivery = this.#buffer.shift();
      if (delivery === undefined) break;
      this.#run(delivery);
    }
    this.#pumping = false;
  }

  #run(delivery: NatsDelivery): void {
    this.#running++;
    whenSettled(
      this.#consumer(delivery),
      (settlement) => {
        if (settlement.kind === 'ack') this.#ended();
        else void this.#failed(delivery, settlement);
      },
      (error) => this.#lost(delivery, error),
    );
  }

  async #failed(delivery: NatsDelivery, settlement: FailedSettlement): Promise<void> {
    try {
      await this.#settle(delivery, settlement);
    } catch (error) {
      return this.#lost(delivery, error);
    }
    this.#ended();
  }

  #lost(delivery: NatsDelivery, error: unknown): void {
    // Ended first: a logger that throws must not keep the slot.
    this.#ended();
    this.#parts.logger.error(`'${this.#spec.durable}' lost an event of '${delivery.name}': ${textOf(error)}`);
  }

  #ended(): void {
    this.#running--;
    if (this.#running === 0 && this.#buffer.length === 0) this.#idle?.();
    this.#pump();
  }

  async #settle(delivery: NatsDelivery, settlement: FailedSettlement): Promise<void> {
    const firstFailedAt = this.#firstFailedAt.get(delivery) ?? systemClock.now();
    if (settlement.kind === 'dead-letter')
      return this.#deadLetter(delivery, settlement.failure, firstFailedAt);
    if (this.#state === 'stopping') {
      this.#parts.logger.warn(
        `'${delivery.name}' failed in '${this.#spec.handler}' while stopping and is lost (ephemeral)`,
      );
      return;
    }
    const again = delivery.again();
    this.#firstFailedAt.set(again, firstFailedAt);
    const timer = setTimeout(
      () => {
        this.#retries.delete(timer);
        this.#buffer.push(again);
        this.#pump();
      },
      Math.min(settlement.delay, MAX_TIMER),
    );
    this.#retries.set(timer, again);
  }

  async #deadLetter(delivery: NatsDelivery, failure: Failure, firstFailedAt: number): Promise<void> {
    const { deadLetters, clusterId, logger } = this.#parts;
    if (deadLetters === undefined) {
      logger.error(
        `'${delivery.name}' is given up by '${this.#spec.handler}' and lost: there is no dead-letter stream`,
      );
      return;
    }
    await deadLetters.write(delivery, this.#spec, failure, {
      stream: clusterId,
      sequence: 0,
      timestamp: '',
      subject: delivery.subject,
      storedAt: delivery.storedAt,
      firstFailedAt,
    });
  }

  async #stop(timeout: number): Promise<void> {
    const deadline = performance.now() + timeout;
    this.#state = 'stopping';
    const drained = this.#subscriptions.map((subscription) => subscription.drain().catch(() => undefined));
    await Promise.race([Promise.all(drained), pause(Math.min(timeout, DRAIN_LIMIT))]);
    for (const timer of this.#retries.keys()) clearTimeout(timer);
    const unhandled = this.#started ? 0 : this.#buffer.splice(0).length;
    this.#limit = Infinity;
    this.#pump();
    // There is no broker to hand events back to: what is buffered is handled, as long as there is time.
    if (this.#running > 0 || this.#buffer.length > 0) {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        new Promise<void>((resolve) => (this.#idle = resolve)),
        new Promise<void>((resolve) => (timer = setTimeout(resolve, deadline - performance.now()))),
      ]);
      clearTimeout(timer);
    }
    const lost = unhandled + this.#running + this.#buffer.splice(0).length + this.#retries.size;
    this.#retries.clear();
    if (lost > 0)
      this.#parts.logger.warn(`${lost} events of '${this.#spec.handler}' are lost at its stop (ephemeral)`);
  }
}
