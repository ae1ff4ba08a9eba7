import { createInbox, type ConsumerInfo, type JetStreamManager, type Msg, type StreamInfo } from 'nats';
import { textOf, type EventsLogger } from '../../core/logger';
import type { Failure, Settlement } from '../../core/settlement';
import type { Delivery, TransportSubscription } from '../../core/transport';
import { parseAckSubject, type AckInfo } from './ack-subject';
import { apiErrorCode, CONSUMER_NOT_FOUND, STREAM_NOT_FOUND } from './api';
import type { NatsLink } from './connection';
import { floorOf } from './durables';
import { statusOf } from './header-block';
import { LateSettlements } from './late-settlements';
import { DRAIN_LIMIT, pause } from './pause';
import { PullDemand } from './pull-demand';
import type { Position, PullSource } from './pull-source';
import type { SteadySubscription } from './steady-subscription';

/** Milliseconds a pull request lives, and how often the server shows that it still has it. */
const EXPIRES = 30_000;
const HEARTBEAT = 5000;
/** Milliseconds of silence after which a request is taken for lost. */
const SILENCE = 2 * HEARTBEAT + 1000;
const DEAD_LETTER_RETRY = 5000;
/** Milliseconds before pulling again after the server ended a request with an error. */
const RECOVERY_PAUSE = 100;
/** Milliseconds the server has to answer whether it permits something. */
const ANSWER_TIMEOUT = 5000;
/** Milliseconds (100 days): in nanoseconds still an exact number. */
const MAX_DELAY = 8_640_000_000;
/** Milliseconds until an event whose consumer broke its contract is tried again. */
const BROKEN_CONSUMER_RETRY = 1000;
/** Milliseconds a stop spends on what the server would also clean up by itself. */
const CLEAN_UP_LIMIT = 1000;
const MAX_REMEMBERED_FAILURES = 50_000;

const ACK = Buffer.from('+ACK');
const NAK = Buffer.from('-NAK');
const WORKING = Buffer.from('+WPI');
const TERM = Buffer.from('+TERM');

export interface PullParts {
  readonly link: NatsLink;
  readonly jsm: JetStreamManager;
  /** When the server created the stream, in its own words. */
  readonly streamCreated: string;
  readonly inboxPrefix: string;
  /** Milliseconds the server waits for a settlement, or for a sign that the event is in hands. */
  readonly ackWait: number;
  readonly logger: EventsLogger;
  /** Makes sure that the streams are there; called when one is not. */
  readonly provision: () => Promise<unknown>;
}

/** An event this process holds: buffered, running, or being written as a dead letter. */
interface Held extends Position {
  readonly delivery: Delivery;
  /** Where to settle; replaced when the server delivers the event again while it is held. */
  reply: string;
  settled: boolean;
  /** When the server was last told that it is in hands. */
  toldAt: number;
}

/** Consumes one JetStream consumer by pull requests, with bounded buffering, and settles what it delivers. */
export class PullSubscription implements TransportSubscription {
  readonly #parts: PullParts;
  readonly #source: PullSource;
  readonly #demand: PullDemand;
  readonly #held = new Map<number, Held>();
  #buffer: Held[] = [];
  /** First failure of events that wait for their next attempt, by sequence. */
  readonly #failedAt = new Map<number, number>();
  readonly #late: LateSettlements;
  readonly #unlisten: () => void;
  readonly #inbox: string;
  #consumer = '';
  #pullSubject = '';
  #ackSubject = '';
  #running = 0;
  #idle: (() => void) | undefined;
  #subscription: SteadySubscription | undefined;
  #state: 'waiting' | 'started' | 'stopping' | 'stopped' = 'waiting';
  #stopped: Promise<void> | undefined;
  #heardAt = 0;
  #ackFloor: number;
  #streamCreated: string;
  #problem: string | undefined;
  #deadLetterProblem: string | undefined;
  #recovering = false;
  #asking = false;

  constructor(parts: PullParts, source: PullSource) {
    this.#parts = parts;
    this.#source = source;
    this.#demand = new PullDemand(source.concurrency);
    this.#use(source.consumer);
    this.#ackFloor = source.ackFloor;
    this.#streamCreated = parts.streamCreated;
    this.#inbox = createInbox(parts.inboxPrefix);
    this.#late = new LateSettlements(parts.link, parts.jsm, source.stream);
    this.#unlisten = parts.link.listen({
      disconnected: () => this.#demand.reset(),
      reconnected: () => this.#onReconnect(),
    });
  }

  start(): void {
    if (this.#state !== 'waiting') return;
    this.#state = 'started';
    this.#subscription = this.#parts.link.subscribe(this.#inbox, {
      onMessage: (msg) => this.#onMessage(msg),
      onRestored: () => this.#pullAnew(),
    });
    this.#pull();
  }

  limit(concurrency: number): void {
    this.#demand.limit = concurrency;
    this.#pump();
  }

  /** What is wrong with it at this moment. */
  get problem(): string | undefined {
    const problem = this.#problem ?? this.#deadLetterProblem;
    return problem === undefined ? undefined : `'${this.#source.label}': ${problem}`;
  }

  get stream(): string {
    return this.#source.stream;
  }

  /** Where it asks for events. */
  get pullSubject(): string {
    return this.#pullSubject;
  }

  /** Where it settles, as a message that the server ignores. */
  get ackSubject(): string {
    return this.#ackSubject;
  }

  /** Called once a second by the transport. */
  tick(now: number): void {
    this.#demand.tick();
    for (const held of this.#held.values()) {
      if (now - held.toldAt < this.#parts.ackWait / 3) continue;
      held.toldAt = now;
      if (this.#parts.link.connected) this.#send(held.reply, WORKING);
    }
    if (this.#state !== 'started' || !this.#parts.link.connected) return;
    const { refusals } = this.#parts.link;
    if (refusals.has('publish', this.pullSubject) || refusals.has('publish', this.ackSubject)) {
      void this.#askPermission();
    } else if (this.#demand.requested > 0 && now - this.#heardAt > SILENCE)
      void this.#recover('the server went silent');
    else this.#pull();
  }

  /**
   * Looks at its consumer: remembers its position in case it is lost, and finds what is wrong with it.
   * @param stream its stream, as it was some seconds ago
   */
  async observe(stream: StreamInfo): Promise<void> {
    if (this.#state !== 'started' || this.#recovering || !this.#parts.link.connected) return;
    if (stream.created !== this.#streamCreated) {
      void this.#recover('its stream was made anew');
      return;
    }
    const { jsm, logger } = this.#parts;
    let info: ConsumerInfo;
    let lastSequence = stream.state.last_seq;
    try {
      info = await jsm.consumers.info(this.stream, this.#consumer);
      // The stream has grown meanwhile, or there is something wrong with it.
      if (info.ack_floor.stream_seq > lastSequence) {
        lastSequence = (await jsm.streams.info(this.stream)).state.last_seq;
      }
    } catch (error) {
      const code = apiErrorCode(error);
      if (code === CONSUMER_NOT_FOUND || code === STREAM_NOT_FOUND)
        void this.#recover('its consumer is gone');
      return;
    }
    const floor = info.ack_floor.stream_seq;
    if (floor > lastSequence) {
      const problem =
        `its position (${floor}) is beyond the end of stream '${this.#source.stream}' (${lastSequence}), which has lost ` +
        `its tail: new events do not arrive until the stream has grown past it, or the service is stopped, the durable removed and the service started again`;
      if (this.#problem !== problem) logger.error(`'${this.#source.label}': ${problem}`);
      this.#problem = problem;
      return;
    }
    this.#problem = undefined;
    // 0 says nothing, see there.
    this.#ackFloor = floorOf(info) || this.#ackFloor;
    for (const sequence of this.#failedAt.keys()) if (sequence <= floor) this.#failedAt.delete(sequence);
    // The server knows of no request of anybody's, and we believe that ours is alive.
    if (info.num_waiting === 0 && info.num_pending > 0 && this.#demand.requested > 0) {
      this.#demand.reset();
      this.#pull();
    }
  }

  stop(timeout: number): Promise<void> {
    return (this.#stopped ??= this.#stop(timeout));
  }

  #pull(): void {
    if (this.#state !== 'started' || !this.#parts.link.connected || this.#recovering) return;
    // What could not be settled would run again and again.
    if (this.#parts.link.refusals.has('publish', this.#ackSubject)) return;
    const batch = this.#demand.next(this.#running + this.#buffer.length);
    if (batch === 0) return;
    this.#heardAt = Date.now();
    const request = { batch, expires: EXPIRES * 1e6, idle_heartbeat: HEARTBEAT * 1e6 };
    this.#parts.link.nc.publish(this.#pullSubject, JSON.stringify(request), { reply: this.#inbox });
  }

  #onMessage(msg: Msg): void {
    // The client must never see an error of ours: it would stop reading for everybody.
    try {
      this.#heardAt = Date.now();
      const info = parseAckSubject(msg.reply ?? '');
      if (info === undefined) this.#onStatus(msg);
      else this.#onDelivery(msg, info);
    } catch (failure) {
      this.#parts.logger.error(`'${this.#source.label}' could not take a message: ${textOf(failure)}`);
    }
  }

  #onDelivery(msg: Msg, info: AckInfo): void {
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
    const delivery = this.#source.toDelivery(msg, info);
    const held: Held = { delivery, sequence, timestamp, reply, settled: false, toldAt: this.#heardAt };
    this.#held.set(sequence, held);
    this.#buffer.push(held);
    this.#pump();
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
    const { logger, link } = this.#parts;
    this.#demand.reset();
    try {
      await pause(RECOVERY_PAUSE);
      while (this.#state === 'started' && link.connected) {
        try {
          await this.#restore();
          this.#problem = undefined;
          break;
        } catch (error) {
          this.#problem = `${why}; ${(error as Error).message}`;
          logger.warn(
            `'${this.#source.label}' cannot consume (${why}): ${(error as Error).message}; trying again`,
          );
          await pause(5 * RECOVERY_PAUSE);
        }
      }
    } finally {
      this.#recovering = false;
    }
    this.#pull();
  }

  /** What we own and is gone is made again, at the position it had. */
  async #restore(): Promise<void> {
    const { jsm, logger } = this.#parts;
    const { label, stream } = this.#source;
    const told = (problem: string): void => {
      this.#problem = problem;
      logger.error(`'${label}': ${problem} at the server; making it again`);
    };
    const { created } = await jsm.streams.info(stream).catch(async (error: unknown) => {
      if (apiErrorCode(error) !== STREAM_NOT_FOUND) throw error;
      told(`stream '${stream}' was deleted`);
      await this.#parts.provision();
      return jsm.streams.info(stream);
    });
    // Whoever made it again, this handler or another: the old position, and what is held of the old one, mean nothing.
    if (created !== this.#streamCreated) this.#forget();
    this.#streamCreated = created;
    try {
      await jsm.consumers.info(stream, this.#consumer);
    } catch (error) {
      if (apiErrorCode(error) !== CONSUMER_NOT_FOUND) throw error;
      told('its consumer was deleted');
      // Other instances may hold events behind our own: the shared position is what the server last confirmed.
      this.#use(await this.#source.recreate(this.#ackFloor + 1));
    }
  }

  #use(consumer: string): void {
    this.#consumer = consumer;
    this.#pullSubject = `$JS.API.CONSUMER.MSG.NEXT.${this.stream}.${consumer}`;
    this.#ackSubject = `$JS.ACK.${this.stream}.${consumer}.0.0.0.0.0`;
  }

  /** A new stream counts from one: an old settlement would hit another event. */
  #forget(): void {
    for (const held of this.#held.values()) held.settled = true;
    this.#held.clear();
    this.#buffer = [];
    this.#failedAt.clear();
    this.#ackFloor = 0;
  }

  #pump(): void {
    while (this.#running < this.#demand.limit && this.#state === 'started') {
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
      settlement = await this.#source.consume(held.delivery, held);
    } catch (error) {
      this.#parts.logger.error(`the consumer of '${this.#source.label}' threw: ${textOf(error)}`);
      settlement = { kind: 'retry', delay: BROKEN_CONSUMER_RETRY };
    }
    this.#demand.finished();
    try {
      await this.#settle(held, settlement);
    } catch (error) {
      // Unsettled, the server delivers it again after the acknowledgement wait.
      this.#held.delete(held.sequence);
      this.#parts.logger.error(`'${this.#source.label}' could not settle an event: ${textOf(error)}`);
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
      if (!this.#failedAt.has(held.sequence) && this.#failedAt.size < MAX_REMEMBERED_FAILURES) {
        this.#failedAt.set(held.sequence, Date.now());
      }
      this.#finish(held, nak(settlement.delay));
    } else {
      await this.#deadLetter(held, settlement.failure);
    }
  }

  /** Stored and confirmed first, ended at the broker second: after a crash in between it is written again, once. */
  async #deadLetter(held: Held, failure: Failure): Promise<void> {
    const { delivery, sequence } = held;
    const firstFailedAt =
      this.#failedAt.get(sequence) ?? (delivery.attempt === 1 ? Date.now() : delivery.storedAt);
    try {
      await this.#source.deadLetter(delivery, failure, held, firstFailedAt);
    } catch (error) {
      this.#deadLetterProblem = `a dead letter could not be written: ${(error as Error).message}`;
      this.#parts.logger.error(
        `'${delivery.name}' (stream ${this.#source.stream}, sequence ${sequence}) of '${this.#source.label}' could not be ` +
          `dead-lettered and stays in the stream; tried again in ${DEAD_LETTER_RETRY} ms: ${(error as Error).message}`,
      );
      this.#finish(held, nak(DEAD_LETTER_RETRY));
      await this.#parts.provision().catch(() => undefined);
      return;
    }
    this.#deadLetterProblem = undefined;
    this.#failedAt.delete(sequence);
    this.#finish(held, TERM);
  }

  #finish(held: Held, payload: Uint8Array): void {
    if (held.settled) return;
    held.settled = true;
    if (this.#held.get(held.sequence) === held) this.#held.delete(held.sequence);
    const { reply } = held;
    if (this.#parts.link.connected) return this.#send(reply, payload);
    this.#late.add({ reply, payload, streamCreated: this.#streamCreated, pressing: payload !== NAK });
  }

  #send(reply: string, payload: Uint8Array): void {
    this.#parts.link.nc.publish(reply, payload);
  }

  #onReconnect(): void {
    void this.#late.send();
    this.#pullAnew();
  }

  /** For when the requests that were sent are known to be dead. */
  #pullAnew(): void {
    this.#demand.reset();
    this.#pull();
  }

  /** The server does not tell when it permits again what it refused while the connection lives. */
  async #askPermission(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      for (const subject of [this.pullSubject, this.ackSubject]) {
        if (!(await this.#parts.link.permitsPublish(subject, ANSWER_TIMEOUT))) return;
      }
      this.#pullAnew();
    } catch {
      // Disconnected in the middle of it: asked again when it is connected.
    } finally {
      this.#asking = false;
    }
  }

  async #stop(timeout: number): Promise<void> {
    this.#state = 'stopping';
    const deadline = Date.now() + timeout;
    const left = (): number => Math.max(0, deadline - Date.now());
    const { link, logger } = this.#parts;
    if (this.#subscription !== undefined) {
      // Until the server has seen the unsubscription, messages arrive; they are handed back above.
      await Promise.race([
        this.#subscription.drain().catch(() => undefined),
        pause(Math.min(timeout, DRAIN_LIMIT) + 100),
      ]);
    }
    for (const held of this.#buffer.splice(0)) this.#finish(held, NAK);
    if (this.#running > 0) {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        new Promise<void>((resolve) => (this.#idle = resolve)),
        new Promise<void>((resolve) => (timer = setTimeout(resolve, left()))),
      ]);
      clearTimeout(timer);
    }
    if (this.#running > 0) {
      logger.warn(
        `${this.#running} events of '${this.#source.label}' did not finish within ${timeout} ms; handed back`,
      );
    }
    for (const held of [...this.#held.values()]) this.#finish(held, NAK);
    const lost = await this.#late.sent(left());
    if (lost > 0) {
      logger.warn(
        `${lost} events of '${this.#source.label}' were finished without a connection, which did not come back within ` +
          `${timeout} ms: they are delivered again`,
      );
    }
    this.#state = 'stopped';
    this.#unlisten();
    if (link.connected) {
      await Promise.race([
        this.#source.stopped?.(this.#consumer).catch(() => undefined),
        pause(CLEAN_UP_LIMIT),
      ]);
    }
  }
}

const nak = (delay: number): Uint8Array =>
  Buffer.from(`-NAK {"delay": ${Math.min(MAX_DELAY, Math.max(1, Math.round(delay))) * 1_000_000}}`);
