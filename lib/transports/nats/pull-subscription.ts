import { createInbox, type ConsumerInfo, type Msg, type NatsError, type Subscription } from 'nats';
import type { EventsLogger } from '../../core/logger';
import type { Failure, Settlement } from '../../core/settlement';
import type { Consumer, Delivery, SubscriptionSpec, TransportSubscription } from '../../core/transport';
import { millisOf, parseAckSubject } from './ack-subject';
import type { NatsLink } from './connection';
import type { DeadLetters } from './dead-letters';
import { ACK_WAIT, type Durables } from './durables';
import { statusOf } from './header-block';
import { NatsDelivery } from './nats-delivery';
import { PullDemand } from './pull-demand';

/** Milliseconds a pull request lives, and how often the server shows that it still has it. */
const EXPIRES = 30_000;
const HEARTBEAT = 5000;
/** Milliseconds of silence after which a request is taken for lost. */
const SILENCE = 2 * HEARTBEAT + 1000;
const HEARTBEAT_RUNNING = ACK_WAIT / 3;
const DEAD_LETTER_RETRY = 5000;
/** Milliseconds before pulling again after the server ended a request with an error. */
const RECOVERY_PAUSE = 100;
/** Milliseconds (100 days): in nanoseconds still an exact number. */
const MAX_DELAY = 8_640_000_000;
/** Milliseconds until an event whose consumer broke its contract is tried again. */
const BROKEN_CONSUMER_RETRY = 1000;

const ACK = Buffer.from('+ACK');
const NAK = Buffer.from('-NAK');
const WORKING = Buffer.from('+WPI');
const TERM = Buffer.from('+TERM');

export interface PullParts {
  readonly link: NatsLink;
  readonly durables: Durables;
  readonly deadLetters: DeadLetters;
  readonly clusterId: string;
  readonly inboxPrefix: string;
  readonly logger: EventsLogger;
}

/** An event this process holds: buffered, running, or being written as a dead letter. */
interface Held {
  readonly delivery: Delivery;
  readonly sequence: number;
  readonly timestamp: string;
  /** Where to settle; replaced when the server delivers the event again while it is held. */
  reply: string;
  settled: boolean;
  /** When the server was last told that it is in hands. */
  toldAt: number;
}

/** Consumes one JetStream consumer by pull requests, with bounded buffering, and settles what it delivers. */
export class PullSubscription implements TransportSubscription {
  readonly #parts: PullParts;
  readonly #spec: SubscriptionSpec;
  readonly #consumer: Consumer;
  readonly #demand: PullDemand;
  readonly #held = new Map<number, Held>();
  readonly #buffer: Held[] = [];
  /** First failure of events that wait for their next attempt, by sequence. */
  readonly #failedAt = new Map<number, number>();
  readonly #unsent: { reply: string; payload: Uint8Array }[] = [];
  readonly #unlisten: () => void;
  readonly #subject: string;
  #name: string;
  #running = 0;
  #idle: (() => void) | undefined;
  #subscription: Subscription | undefined;
  #state: 'waiting' | 'started' | 'stopping' | 'stopped' = 'waiting';
  #stopped: Promise<void> | undefined;
  #heardAt = 0;
  #highest: number;
  #problem: string | undefined;
  #recovering = false;

  constructor(parts: PullParts, spec: SubscriptionSpec, info: ConsumerInfo, consumer: Consumer) {
    this.#parts = parts;
    this.#spec = spec;
    this.#consumer = consumer;
    this.#demand = new PullDemand(spec.concurrency);
    this.#name = info.name;
    this.#highest = info.ack_floor.stream_seq;
    this.#subject = createInbox(parts.inboxPrefix);
    this.#unlisten = parts.link.listen({
      disconnected: () => this.#demand.reset(),
      reconnected: () => this.#onReconnect(),
      denied: (_operation, subject) => {
        if (subject === this.pullSubject) this.#problem = `the server denies '${subject}'`;
      },
    });
  }

  start(): void {
    if (this.#state !== 'waiting') return;
    this.#state = 'started';
    this.#subscription = this.#parts.link.nc.subscribe(this.#subject, {
      callback: (error, msg) => this.#onMessage(error, msg),
    });
    this.#pull();
  }

  /** What is wrong with it at this moment. */
  get problem(): string | undefined {
    return this.#problem === undefined ? undefined : `subscription '${this.#spec.durable}': ${this.#problem}`;
  }

  /** Called once a second by the transport. */
  tick(now: number): void {
    this.#demand.tick();
    for (const held of this.#held.values()) {
      if (now - held.toldAt < HEARTBEAT_RUNNING) continue;
      held.toldAt = now;
      if (this.#parts.link.connected) this.#send(held.reply, WORKING);
    }
    if (this.#state !== 'started' || !this.#parts.link.connected) return;
    if (this.#demand.requested > 0 && now - this.#heardAt > SILENCE)
      void this.#recover('the server went silent');
    else this.#pull();
  }

  stop(timeout: number): Promise<void> {
    return (this.#stopped ??= this.#stop(timeout));
  }

  /** Where it asks for events. */
  get pullSubject(): string {
    return `$JS.API.CONSUMER.MSG.NEXT.${this.#parts.clusterId}.${this.#name}`;
  }

  #pull(): void {
    if (this.#state !== 'started' || !this.#parts.link.connected || this.#recovering) return;
    const batch = this.#demand.next(this.#running + this.#buffer.length);
    if (batch === 0) return;
    this.#heardAt = Date.now();
    const request = { batch, expires: EXPIRES * 1e6, idle_heartbeat: HEARTBEAT * 1e6 };
    this.#parts.link.nc.publish(this.pullSubject, JSON.stringify(request), { reply: this.#subject });
  }

  #onMessage(error: NatsError | null, msg: Msg): void {
    // The client must never see an error of ours: it would stop reading for everybody.
    try {
      if (error !== null) {
        this.#problem = error.message;
        return;
      }
      this.#heardAt = Date.now();
      const info = parseAckSubject(msg.reply ?? '');
      if (info === undefined) return this.#onStatus(msg);
      this.#problem = undefined;
      this.#demand.delivered();
      const { sequence, timestamp } = info;
      const reply = msg.reply as string;
      if (this.#state !== 'started') return this.#send(reply, NAK);

      const again = this.#held.get(sequence);
      if (again !== undefined && again.timestamp === timestamp) {
        // Delivered again while it is in hands here (the server lost our heartbeat): it goes on, and settles there.
        again.reply = reply;
        return;
      }
      const held: Held = {
        delivery: new NatsDelivery(
          msg,
          this.#parts.clusterId,
          `${this.#parts.clusterId}-${sequence}`,
          info.deliveries,
          millisOf(timestamp),
        ),
        sequence,
        timestamp,
        reply,
        settled: false,
        toldAt: this.#heardAt,
      };
      this.#held.set(sequence, held);
      this.#buffer.push(held);
      this.#pump();
    } catch (failure) {
      this.#parts.logger.error(`'${this.#spec.durable}' could not take a message: ${String(failure)}`);
    }
  }

  #onStatus(msg: Msg): void {
    const { code, text, headers } = statusOf(msg);
    if (code === 100) return;
    const left = Number(headers['Nats-Pending-Messages']);
    if (Number.isInteger(left)) this.#demand.returned(left);
    if (code === 404 || code === 408) {
      if (!Number.isInteger(left)) this.#demand.reset();
      this.#pull();
    } else {
      this.#demand.reset();
      void this.#recover(text);
    }
  }

  /** Finds out what became of the consumer, creates it again if it is gone, and goes on pulling. */
  async #recover(why: string): Promise<void> {
    if (this.#recovering || this.#state !== 'started') return;
    this.#recovering = true;
    const { durables, logger, link } = this.#parts;
    this.#demand.reset();
    try {
      await pause(RECOVERY_PAUSE);
      while (this.#state === 'started' && link.connected) {
        try {
          if ((await durables.find(this.#name)) === undefined) {
            this.#problem = `its consumer was deleted`;
            logger.error(
              `the consumer of '${this.#spec.durable}' was deleted at the server; creating it again`,
            );
            await this.#recreate();
          }
          this.#problem = undefined;
          break;
        } catch (error) {
          this.#problem = `${why}; ${(error as Error).message}`;
          logger.warn(
            `'${this.#spec.durable}' cannot consume (${why}): ${(error as Error).message}; trying again`,
          );
          await pause(5 * RECOVERY_PAUSE);
        }
      }
    } finally {
      this.#recovering = false;
    }
    this.#pull();
  }

  async #recreate(): Promise<void> {
    const { durables } = this.#parts;
    const from = Math.min(this.#highest + 1, ...this.#held.keys(), ...this.#failedAt.keys());
    const info = this.#spec.broadcast
      ? await durables.createBroadcast(this.#spec, this.#name, from)
      : await durables.recreate(this.#spec, from);
    this.#name = info.name;
  }

  #pump(): void {
    while (this.#running < this.#spec.concurrency && this.#state === 'started') {
      const held = this.#buffer.shift();
      if (held === undefined) break;
      void this.#run(held);
    }
    this.#pull();
  }

  async #run(held: Held): Promise<void> {
    this.#running++;
    let settlement: Settlement;
    try {
      settlement = await this.#consumer(held.delivery);
    } catch (error) {
      this.#parts.logger.error(`the consumer of '${this.#spec.durable}' threw: ${String(error)}`);
      settlement = { kind: 'retry', delay: BROKEN_CONSUMER_RETRY };
    }
    this.#demand.finished();
    try {
      await this.#settle(held, settlement);
    } catch (error) {
      // Unsettled, the server delivers it again after the acknowledgement wait.
      this.#held.delete(held.sequence);
      this.#parts.logger.error(`'${this.#spec.durable}' could not settle an event: ${String(error)}`);
    }
    this.#running--;
    if (this.#running === 0) this.#idle?.();
    this.#pump();
  }

  async #settle(held: Held, settlement: Settlement): Promise<void> {
    if (held.settled) return;
    if (settlement.kind === 'ack') {
      if (this.#failedAt.size > 0) this.#failedAt.delete(held.sequence);
      this.#finish(held, ACK);
    } else if (this.#state !== 'started') {
      // A failure while stopping may come of the stopping itself: another instance tries again.
      this.#finish(held, settlement.kind === 'retry' && settlement.delay > 0 ? nak(settlement.delay) : NAK);
    } else if (settlement.kind === 'retry') {
      if (!this.#failedAt.has(held.sequence)) this.#failedAt.set(held.sequence, Date.now());
      this.#finish(held, nak(settlement.delay));
    } else {
      await this.#deadLetter(held, settlement.failure);
    }
  }

  /** Stored and confirmed first, ended at the broker second: after a crash in between it is written again, once. */
  async #deadLetter(held: Held, failure: Failure): Promise<void> {
    const { delivery, sequence, timestamp } = held;
    const firstFailedAt =
      this.#failedAt.get(sequence) ?? (delivery.attempt === 1 ? Date.now() : delivery.storedAt);
    const origin = { stream: this.#parts.clusterId, sequence, timestamp, firstFailedAt };
    try {
      await this.#parts.deadLetters.write(delivery, this.#spec, failure, origin);
    } catch (error) {
      this.#problem = `a dead letter could not be written: ${(error as Error).message}`;
      this.#parts.logger.error(
        `'${delivery.name}' (stream ${origin.stream}, sequence ${sequence}) of '${this.#spec.durable}' could not be ` +
          `dead-lettered and stays in the stream; tried again in ${DEAD_LETTER_RETRY} ms: ${(error as Error).message}`,
      );
      return this.#finish(held, nak(DEAD_LETTER_RETRY));
    }
    this.#failedAt.delete(sequence);
    this.#finish(held, TERM);
  }

  #finish(held: Held, payload: Uint8Array): void {
    if (held.settled) return;
    held.settled = true;
    if (this.#held.get(held.sequence) === held) this.#held.delete(held.sequence);
    if (held.sequence > this.#highest) this.#highest = held.sequence;
    // The client drops what is published while it is disconnected.
    if (this.#parts.link.connected) this.#send(held.reply, payload);
    else this.#unsent.push({ reply: held.reply, payload });
  }

  #send(reply: string, payload: Uint8Array): void {
    this.#parts.link.nc.publish(reply, payload);
  }

  #onReconnect(): void {
    for (const { reply, payload } of this.#unsent.splice(0)) this.#send(reply, payload);
    this.#demand.reset();
    this.#pull();
  }

  async #stop(timeout: number): Promise<void> {
    this.#state = 'stopping';
    const { link, durables, logger } = this.#parts;
    if (this.#subscription !== undefined && link.connected) {
      // Until the server has seen the unsubscription, messages arrive; they are handed back above.
      await Promise.race([
        this.#subscription.drain().catch(() => undefined),
        pause(Math.min(timeout, 2000) + 100),
      ]);
    }
    for (const held of this.#buffer.splice(0)) this.#finish(held, NAK);
    if (this.#running > 0) {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        new Promise<void>((resolve) => (this.#idle = resolve)),
        new Promise<void>((resolve) => (timer = setTimeout(resolve, timeout))),
      ]);
      clearTimeout(timer);
    }
    if (this.#running > 0) {
      logger.warn(
        `${this.#running} events of '${this.#spec.handler}' did not finish within ${timeout} ms; handed back`,
      );
    }
    for (const held of [...this.#held.values()]) this.#finish(held, NAK);
    this.#state = 'stopped';
    this.#unlisten();
    if (this.#spec.broadcast && link.connected) await durables.remove(this.#name).catch(() => undefined);
  }
}

const nak = (delay: number): Uint8Array =>
  Buffer.from(`-NAK {"delay": ${Math.min(MAX_DELAY, Math.max(1, Math.round(delay))) * 1_000_000}}`);

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
