import type { ConsumerInfo, StreamInfo } from 'nats';
import { EventsError } from '../../core/errors';
import { ackPlace, ackPlaceOf, ackProbe } from './ack-subject';
import { apiErrorCode, CONSUMER_NOT_FOUND, isPassing, STREAM_NOT_FOUND } from './api';
import { floorOf, pausedUntil } from './consumer-config';
import type { ConsumerVerdict } from './durables';
import { pause } from './pause';
import type { PullParts } from './pull-parts';
import type { PullSource } from './pull-source';

/** Milliseconds before pulling again after the server ended a request with an error. */
const RECOVERY_PAUSE = 100;
/** Milliseconds that a failure may last which passes by itself, as those around a restart of the server do. */
const PATIENCE = 10_000;
/** No reply subject begins with it. */
const NOWHERE = ' ';
/** Requests in a row that the server has to refuse before that is a problem, and the longest pause between two, in milliseconds. */
const MANY_REFUSALS = 3;
const MAX_RECOVERY_PAUSE = 5000;
/** Milliseconds between two replacements of a consumer that somebody changes again and again. */
const REPLACEMENT_INTERVAL = 60_000;
/** Milliseconds the server has to answer whether it permits something. */
const ANSWER_TIMEOUT = 5000;

/** The subscription that works on the consumer, as far as that has to know it. */
export interface PullOwner {
  /** Delivery has begun and does not stop yet. */
  isActive(): boolean;
  /** Whether it believes that the server has a request of its. */
  isWaiting(): boolean;
  /** The requests that were sent are known to be dead. */
  pullAnew(): void;
  /** What it holds may be handled again. */
  goOn(): void;
  /** Everything up to this sequence is settled, by whomever. */
  settledTo(floor: number): void;
  /** The stream was made anew: what is held of the old one means nothing any more. */
  forget(): void;
}

/** The consumer at the server that a subscription works on: watched, and made again when it is gone. */
export class PullConsumer {
  readonly #parts: PullParts;
  readonly #source: PullSource;
  readonly #owner: PullOwner;
  #name = '';
  #pullSubject = '';
  #ackPlace = '';
  #ackSubject = '';
  /** It has just been learnt, and the server was not asked yet whether it permits to settle there. */
  #isNewPlace = false;
  #ackFloor: number;
  #streamCreated: string;
  #created: string;
  /** Copies that the stream has. */
  #replicas = 0;
  #problem: string | undefined;
  /** What is wrong, and nothing to be repaired: events wait. */
  #notice: string | undefined;
  /** Requests that the server refused in a row. */
  #refusals = 0;
  #refusal = '';
  /** Not what a subscription can work on, until somebody repairs it. */
  #unfit = false;
  #replacedAt = -Infinity;
  #recovering = false;
  #asking = false;

  constructor(parts: PullParts, source: PullSource, owner: PullOwner) {
    this.#parts = parts;
    this.#source = source;
    this.#owner = owner;
    this.#use(source.consumer);
    this.#ackFloor = source.ackFloor;
    this.#created = source.created;
    this.#streamCreated = parts.streamCreated;
  }

  get name(): string {
    return this.#name;
  }

  /** Where events are asked for. */
  get pullSubject(): string {
    return this.#pullSubject;
  }

  /** Where they are settled, as a message that the server ignores. */
  get ackSubject(): string {
    return this.#ackSubject;
  }

  get streamCreated(): string {
    return this.#streamCreated;
  }

  get problem(): string | undefined {
    if (this.#problem !== undefined) return this.#problem;
    if (this.#refusals >= MANY_REFUSALS)
      return `the server does not serve its requests for events: ${this.#refusal}`;
    return this.#notice;
  }

  /** Whether nothing is known to be wrong with it. */
  get isCertain(): boolean {
    return !this.#recovering;
  }

  /** Whether events may be asked for. */
  get usable(): boolean {
    return !this.#recovering && !this.#unfit && this.canSettle;
  }

  /** Whether events may be handled: what could not be settled would run again and again. */
  get canSettle(): boolean {
    return !this.#isNewPlace && !this.#parts.link.refusals.has('publish', this.#ackSubject);
  }

  /** The next delivery is taken for one of another form. */
  doubtAckForm(): void {
    this.#ackPlace = NOWHERE;
  }

  /** Takes note of where a delivery is to be settled: only deliveries show which form of these subjects the server uses. */
  settlesAt(reply: string): void {
    if (reply.startsWith(this.#ackPlace)) return;
    const place = ackPlaceOf(reply);
    // Those of an earlier consumer may still come.
    const end = ackPlace(this.#source.stream, this.#name, '.');
    if (place?.endsWith(end) !== true) return;
    const { link } = this.#parts;
    link.ackPrefix = place.slice(0, 1 - end.length);
    this.#settleAt(place);
    this.#isNewPlace = true;
    void link
      .permitsPublish(this.ackSubject, ANSWER_TIMEOUT)
      .catch(() => undefined) // disconnected in the middle of it: a refusal shows when it is settled
      .then(() => {
        this.#isNewPlace = false;
        this.#owner.goOn();
      });
  }

  /** Whether the server denies to ask for events, or to settle them. */
  get refused(): boolean {
    const { refusals } = this.#parts.link;
    return refusals.has('publish', this.#pullSubject) || refusals.has('publish', this.#ackSubject);
  }

  /** The server does not tell when it permits again what it refused while the connection lives. */
  async askPermission(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      for (const subject of [this.#pullSubject, this.ackSubject]) {
        if (!(await this.#parts.link.permitsPublish(subject, ANSWER_TIMEOUT))) return;
      }
      this.#owner.pullAnew();
    } catch {
      // Disconnected in the middle of it: asked again when it is connected.
    } finally {
      this.#asking = false;
    }
  }

  /**
   * Looks at it: remembers its position in case it is lost, and finds what is wrong with it.
   * @param stream its stream, as it was some seconds ago
   */
  async observe(stream: StreamInfo): Promise<void> {
    if (!this.#owner.isActive() || this.#recovering || !this.#parts.link.connected) return;
    if (stream.created !== this.#streamCreated) {
      void this.recover('its stream was made anew');
      return;
    }
    const { jsm } = this.#parts;
    let info: ConsumerInfo;
    let lastSequence = stream.state.last_seq;
    try {
      info = await jsm.consumers.info(this.#source.stream, this.#name);
      // The stream has grown meanwhile, or there is something wrong with it.
      if (info.ack_floor.stream_seq > lastSequence) {
        lastSequence = (await jsm.streams.info(this.#source.stream)).state.last_seq;
      }
    } catch (error) {
      const code = apiErrorCode(error);
      if (code === CONSUMER_NOT_FOUND || code === STREAM_NOT_FOUND) void this.recover('its consumer is gone');
      return;
    }
    this.#replicas = stream.config.num_replicas;
    if (info.created === this.#created && info.ack_floor.stream_seq > lastSequence) {
      return this.#tellOfLostTail(info.ack_floor.stream_seq, lastSequence);
    }
    // The position of a consumer that is not what it should be says nothing.
    const examined = await this.#examine(info);
    if (examined === undefined) return;
    this.#notice = noticeOf(examined, this.#source.stream);
    const floor = examined.ack_floor.stream_seq;
    // 0 says nothing, see there.
    this.#ackFloor = floorOf(examined) || this.#ackFloor;
    this.#owner.settledTo(floor);
    // The server knows of no request of anybody's, and we believe that ours is alive.
    if (info.num_waiting === 0 && info.num_pending > 0 && this.#owner.isWaiting()) this.#owner.pullAnew();
  }

  /** The server refused a request for events, or ended it with an error. */
  refusedBy(why: string): void {
    this.#refusals++;
    this.#refusal = why;
    void this.recover(why);
  }

  /** The server serves a request. */
  served(): void {
    if (this.#refusals > 0) this.#refusals = 0;
  }

  /** @returns the consumer as it is now; `undefined` when that is unknown, or wrong and told */
  async #examine(info: ConsumerInfo): Promise<ConsumerInfo | undefined> {
    const wasUnfit = this.#unfit;
    try {
      const examined = await this.#putRight(info);
      this.#problem = undefined;
      this.#unfit = false;
      if (wasUnfit) this.#owner.pullAnew();
      return examined;
    } catch (error) {
      // No answer: the connection's own state tells.
      if (mayPass(error)) return undefined;
      this.#tell((error as Error).message);
      return undefined;
    }
  }

  /** @throws EventsError where it cannot be */
  async #putRight(info: ConsumerInfo): Promise<ConsumerInfo> {
    const known = { created: this.#created, floor: this.#ackFloor, replicas: this.#replicas };
    let verdict: ConsumerVerdict;
    try {
      verdict = await this.#source.examine(info, known);
    } catch (error) {
      this.#unfit = error instanceof EventsError && error.code === 'duplicate_handler';
      throw error;
    }
    const right = 'replace' in verdict ? await this.#replace(info, verdict) : verdict.info;
    this.#created = right.created;
    return right;
  }

  /** Another consumer in the place of one that no update puts right, at the position it had. */
  async #replace(
    info: ConsumerInfo,
    { replace: why, update }: Extract<ConsumerVerdict, { replace: string }>,
  ): Promise<ConsumerInfo> {
    const { jsm, logger } = this.#parts;
    const { label, stream } = this.#source;
    const now = await jsm.consumers.info(stream, this.#name);
    // Another instance was faster; what it made is looked at next time.
    if (now.created !== info.created) return now;
    this.#unfit = update === undefined;
    if (performance.now() - this.#replacedAt < REPLACEMENT_INTERVAL) {
      throw new EventsError(
        'consumer_mismatch',
        `${why}, again and again: find out who does that; ${byHand(stream, this.#name)}`,
      );
    }
    try {
      await jsm.consumers.delete(stream, this.#name);
    } catch (error) {
      if (apiErrorCode(error) !== CONSUMER_NOT_FOUND) {
        if (mayPass(error)) throw error;
        if (update !== undefined) return await update();
        throw new EventsError(
          'consumer_mismatch',
          `${why}; it cannot be replaced (${(error as Error).message}): ${byHand(stream, this.#name)}`,
        );
      }
    }
    this.#replacedAt = performance.now();
    logger.error(`'${label}': ${why}; replaced at its position (after ${this.#ackFloor})`);
    return this.#recreate();
  }

  async #recreate(): Promise<ConsumerInfo> {
    // Other instances may hold events behind our own: the shared position is what the server last confirmed.
    const info = await this.#source.recreate(this.#ackFloor + 1);
    this.#use(info.name);
    this.#created = info.created;
    this.#unfit = false;
    this.#owner.pullAnew();
    return info;
  }

  #tell(problem: string): void {
    if (this.#problem !== problem) this.#parts.logger.error(`'${this.#source.label}': ${problem}`);
    this.#problem = problem;
  }

  /** Finds out what became of it, makes it again if it is gone, and goes on pulling. */
  async recover(why: string): Promise<void> {
    if (this.#recovering || !this.#owner.isActive()) return;
    this.#recovering = true;
    const { logger, link } = this.#parts;
    let told: string | undefined;
    const begun = performance.now();
    let wait = 5 * RECOVERY_PAUSE;
    try {
      await pause(
        Math.min(RECOVERY_PAUSE * 2 ** Math.max(0, this.#refusals - MANY_REFUSALS), MAX_RECOVERY_PAUSE),
      );
      while (this.#owner.isActive() && link.connected) {
        try {
          await this.#restore();
          this.#problem = undefined;
          break;
        } catch (error) {
          this.#problem = `${why}; ${(error as Error).message}`;
          const isNews = told !== this.#problem && link.connected;
          // The service tells of a lost connection, once for all.
          if (isNews && (!mayPass(error) || performance.now() - begun > PATIENCE)) {
            logger.warn(
              `'${this.#source.label}' cannot consume (${why}): ${(error as Error).message}; trying again`,
            );
            told = this.#problem;
          }
          await pause(wait);
          // Somebody has to do something about it: there is no hurry.
          if (!mayPass(error)) wait = Math.min(2 * wait, MAX_RECOVERY_PAUSE);
        }
      }
    } finally {
      this.#recovering = false;
    }
    this.#owner.pullAnew();
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
    if (created !== this.#streamCreated) {
      // Whoever made it again, this handler or another: the old position means nothing.
      this.#ackFloor = 0;
      this.#owner.forget();
    }
    this.#streamCreated = created;
    let info: ConsumerInfo;
    try {
      info = await jsm.consumers.info(stream, this.#name);
    } catch (error) {
      if (apiErrorCode(error) !== CONSUMER_NOT_FOUND) throw error;
      told('its consumer was deleted');
      await this.#recreate();
      return;
    }
    await this.#putRight(info);
  }

  #use(name: string): void {
    const { stream } = this.#source;
    this.#name = name;
    this.#pullSubject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`;
    this.#settleAt(ackPlace(stream, name, this.#parts.link.ackPrefix));
  }

  #settleAt(place: string): void {
    this.#ackPlace = place;
    this.#ackSubject = ackProbe(place);
  }

  #tellOfLostTail(floor: number, lastSequence: number): void {
    const { stream } = this.#source;
    const problem =
      `its position (${floor}) is beyond the end of stream '${stream}' (${lastSequence}), which has lost ` +
      `its tail: new events do not arrive until the stream has grown past it, or the service is stopped, the durable removed and the service started again`;
    this.#tell(problem);
  }
}

/** What a look at a consumer tells that nothing here can change. */
function noticeOf(info: ConsumerInfo, stream: string): string | undefined {
  const until = pausedUntil(info);
  if (until !== undefined) {
    return `its consumer is paused until ${until}: events wait; \`nats consumer resume ${stream} ${info.name}\` ends that`;
  }
  const { max_ack_pending: limit = 0 } = info.config;
  if (limit <= 0 || info.num_ack_pending < limit) return undefined;
  return (
    `${info.num_ack_pending} events are unsettled or wait for their next attempt, as many as the server allows: new events ` +
    'are not delivered until some of them are settled; mend what makes them fail, or shorten the delays of `retry`'
  );
}

/** Whether another look may find it gone. */
const mayPass = (error: unknown): boolean =>
  isPassing(error) || (error instanceof EventsError && error.retryable);

const byHand = (stream: string, consumer: string): string =>
  `remove it (\`nats consumer rm ${stream} ${consumer}\`), and this service recreates it at its position`;
