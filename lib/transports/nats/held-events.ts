import type { ReceivedMessage } from './received-message';
import { systemClock } from '../../core/clock';
import { textOf } from '../../core/thrown';
import type { Failure, Settlement } from '../../core/settlement';
import type { Delivery } from '../../core/transport';
import type { AckInfo } from './ack-subject';
import { LateSettlements } from './late-settlements';
import { NumberMap } from './number-map';
import type { PullParts } from './pull-parts';
import type { Handling, PullSource } from './pull-source';

const DEAD_LETTER_RETRY = 5000;
/** Milliseconds (100 days): in nanoseconds still an exact number. */
const MAX_DELAY = 8_640_000_000;
const MAX_UNWRITTEN = 1000;
/** Settlements that wait for the end of the turn of the event loop, and milliseconds that the first of them does. */
const MAX_OUTBOX = 64;
const MAX_OUTBOX_AGE = 5;

const ACK = '+ACK';
const NAK = '-NAK';
const WORKING = '+WPI';
const TERM = '+TERM';

/** An event this process holds: buffered, running, or being written as a dead letter. */
export interface Held extends Handling {
  readonly delivery: Delivery;
  /** Where to settle; replaced when the server delivers the event again while it is held. */
  reply: string;
  settled: boolean;
  /** What the settlement says. */
  payload: string | undefined;
  /** When the server was last told that it is in hands. */
  toldAt: number;
}

/** The events of one subscription that are in hands here: kept alive at the server, and settled once. */
export class HeldEvents {
  readonly #parts: PullParts;
  readonly #source: PullSource;
  readonly #streamCreated: () => string;
  readonly #isCertain: () => boolean;
  readonly #held = new NumberMap<Held>();
  /** Events that are given up and whose dead letter could not be written so far, by sequence. */
  readonly #unwritten = new Map<number, { readonly timestamp: string; readonly settlement: Settlement }>();
  readonly #late: LateSettlements;
  /** Settled in this turn of the event loop: sent in one write to the socket. */
  #outbox: Held[] = [];
  #outboxSince = 0;
  #problem: string | undefined;

  /**
   * @param streamCreated when the stream was created that is consumed at this moment
   * @param isCertain whether it is known to be that one still
   */
  constructor(parts: PullParts, source: PullSource, streamCreated: () => string, isCertain: () => boolean) {
    this.#parts = parts;
    this.#source = source;
    this.#streamCreated = streamCreated;
    this.#isCertain = isCertain;
    this.#late = new LateSettlements(parts.link, parts.jsm, source.stream);
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** What was decided of an event whose dead letter could not be written: it is written then, the handler does not run once more. */
  decided({ sequence, timestamp }: Held): Settlement | undefined {
    if (this.#unwritten.size === 0) return undefined;
    const unwritten = this.#unwritten.get(sequence);
    return unwritten?.timestamp === timestamp ? unwritten.settlement : undefined;
  }

  /** @returns `undefined` when it is in hands already: it goes on there, and settles there */
  take(msg: ReceivedMessage, info: AckInfo, now: number): Held | undefined {
    const { sequence, timestamp } = info;
    const reply = msg.reply;
    const again = this.#held.get(sequence);
    if (again !== undefined && again.timestamp === timestamp) {
      // The server lost our heartbeat.
      again.reply = reply;
      return undefined;
    }
    const delivery = this.#source.toDelivery(msg, info);
    const held: Held = {
      delivery,
      sequence,
      timestamp,
      reply,
      settled: false,
      payload: undefined,
      leave: undefined,
      attempts: undefined,
      toldAt: now,
    };
    this.#held.set(sequence, held);
    return held;
  }

  /** Called once a second. */
  keepAlive(now: number): void {
    for (const held of this.#held.values()) {
      if (now - held.toldAt < this.#parts.ackWait / 3) continue;
      held.toldAt = now;
      if (this.#parts.link.connected) this.#send(held.reply, WORKING);
    }
  }

  /**
   * @param stopping a failure then may come of the stopping itself: another instance tries again
   * @returns what to wait for, where there is something
   */
  settle(held: Held, settlement: Settlement, stopping: boolean): Promise<void> | undefined {
    if (held.settled) return undefined;
    const { attempts } = held;
    if (settlement.kind === 'ack') {
      if (attempts?.empty === false) attempts.settled(held);
      this.#finish(held, ACK);
    } else if (stopping) {
      const payload = settlement.kind === 'retry' && settlement.delay > 0 ? nak(settlement.delay) : NAK;
      this.#finishAfter(attempts?.handedBack(held), held, payload);
    } else if (settlement.kind === 'retry') {
      this.#finishAfter(attempts?.failed(held, held.delivery.attempt), held, nak(settlement.delay));
    } else {
      return this.#deadLetter(held, settlement);
    }
    return undefined;
  }

  /** Unsettled, the server delivers it again after the acknowledgement wait. */
  drop(held: Held): void {
    this.#held.delete(held.sequence);
  }

  handBack(held: Held): void {
    this.#finish(held, NAK);
  }

  /** Hands back what cannot be taken. @param delay milliseconds until it is delivered again; default: at once */
  refuse(msg: ReceivedMessage, delay = 0): void {
    this.#send(msg.reply, delay > 0 ? nak(delay) : NAK);
  }

  handBackAll(): void {
    for (const held of this.#held.values()) this.#finish(held, held.payload ?? NAK);
  }

  /** Everything up to this sequence is settled, by whomever. */
  settledTo(floor: number): void {
    for (const sequence of this.#unwritten.keys()) if (sequence <= floor) this.#unwritten.delete(sequence);
  }

  /** The stream was made anew and counts from one: an old settlement would hit another event. */
  forget(): void {
    for (const held of this.#held.values()) held.settled = true;
    this.#held.clear();
    this.#outbox = [];
    this.#unwritten.clear();
  }

  /** Settles what could not be while there was no connection. */
  reconnected(): void {
    void this.#late.send();
  }

  /** Resolves when all that was finished is settled; @returns what was given up after `timeout` milliseconds */
  settled(timeout: number): Promise<number> {
    this.#flush();
    return this.#late.sent(timeout);
  }

  /** Stored and confirmed first, ended at the broker second: after a crash in between it is written again, once. */
  async #deadLetter(held: Held, settlement: Settlement & { readonly failure: Failure }): Promise<void> {
    const { delivery, sequence, timestamp, attempts } = held;
    const { failure } = settlement;
    const firstFailedAt =
      attempts?.firstFailedAt(held) ?? (delivery.attempt === 1 ? systemClock.now() : delivery.storedAt);
    try {
      await this.#source.deadLetter(delivery, failure, held, firstFailedAt);
    } catch (error) {
      if (this.#unwritten.size < MAX_UNWRITTEN) this.#unwritten.set(sequence, { timestamp, settlement });
      this.#problem = `a dead letter could not be written: ${(error as Error).message}`;
      this.#parts.logger.error(
        `'${delivery.name}' (stream ${this.#source.stream}, sequence ${sequence}) of '${this.#source.label}' could not be ` +
          `dead-lettered and stays in the stream; tried again in ${DEAD_LETTER_RETRY} ms: ${(error as Error).message}`,
      );
      // Whoever gets it next must not take this process for one that ended while it ran it.
      this.#finishAfter(attempts?.failed(held, delivery.attempt), held, nak(DEAD_LETTER_RETRY));
      await this.#parts.provision().catch(() => undefined);
      return;
    }
    this.#problem = undefined;
    this.#unwritten.delete(sequence);
    attempts?.settled(held);
    this.#finish(held, TERM);
  }

  /** The server delivers the event again, elsewhere perhaps, only when its attempt is on record. */
  #finishAfter(recorded: Promise<void> | undefined, held: Held, payload: string): void {
    if (recorded === undefined) return this.#finish(held, payload);
    held.payload = payload;
    void recorded.then(() => this.#finish(held, payload));
  }

  #finish(held: Held, payload: string): void {
    if (held.settled) return;
    held.settled = true;
    if (this.#held.get(held.sequence) === held) this.#held.delete(held.sequence);
    held.payload = payload;
    const count = this.#outbox.push(held);
    if (count === 1) {
      this.#outboxSince = performance.now();
      setImmediate(() => this.#flush());
    } else if (performance.now() - this.#outboxSince >= MAX_OUTBOX_AGE) {
      // Handlers that compute keep the turn from ending, those without a promise even the microtasks, and what is done is
      // to be known before the process dies.
      this.#flush();
      this.#parts.link.frames.send();
    } else if (count >= MAX_OUTBOX) {
      this.#flush();
    }
  }

  #flush(): void {
    const outbox = this.#outbox;
    if (outbox.length === 0) return;
    this.#outbox = [];
    // While it is found out what became of the consumer, the stream may be another: then it waits for that.
    const now = this.#parts.link.connected && this.#isCertain();
    const streamCreated = this.#streamCreated();
    for (const { reply, payload = NAK } of outbox) {
      try {
        if (now) this.#send(reply, payload);
        else this.#late.add({ reply, payload, streamCreated, pressing: payload !== NAK });
      } catch (error) {
        this.#parts.logger.error(`'${this.#source.label}' could not settle an event: ${textOf(error)}`);
      }
    }
  }

  #send(reply: string, payload: string): void {
    this.#parts.link.frames.answer(reply, payload);
  }
}

const nak = (delay: number): string =>
  `-NAK {"delay": ${Math.min(MAX_DELAY, Math.max(1, Math.round(delay))) * 1_000_000}}`;
