import type { ConsumerInfo, StreamInfo } from 'nats';
import { ackPlace, ackPlaceOf, ackProbe } from './ack-subject';
import { apiErrorCode, CONSUMER_NOT_FOUND, STREAM_NOT_FOUND } from './api';
import { floorOf } from './durables';
import { pause } from './pause';
import type { PullParts } from './pull-parts';
import type { PullSource } from './pull-source';

/** Milliseconds before pulling again after the server ended a request with an error. */
const RECOVERY_PAUSE = 100;
/** No reply subject begins with it. */
const NOWHERE = ' ';
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
  #problem: string | undefined;
  #recovering = false;
  #asking = false;

  constructor(parts: PullParts, source: PullSource, owner: PullOwner) {
    this.#parts = parts;
    this.#source = source;
    this.#owner = owner;
    this.#use(source.consumer);
    this.#ackFloor = source.ackFloor;
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
    return this.#problem;
  }

  /** Whether nothing is known to be wrong with it. */
  get isCertain(): boolean {
    return !this.#recovering;
  }

  /** Whether events may be asked for. */
  get usable(): boolean {
    return !this.#recovering && this.canSettle;
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
    const floor = info.ack_floor.stream_seq;
    if (floor > lastSequence) return this.#tellOfLostTail(floor, lastSequence);
    this.#problem = undefined;
    // 0 says nothing, see there.
    this.#ackFloor = floorOf(info) || this.#ackFloor;
    this.#owner.settledTo(floor);
    // The server knows of no request of anybody's, and we believe that ours is alive.
    if (info.num_waiting === 0 && info.num_pending > 0 && this.#owner.isWaiting()) this.#owner.pullAnew();
  }

  /** Finds out what became of it, makes it again if it is gone, and goes on pulling. */
  async recover(why: string): Promise<void> {
    if (this.#recovering || !this.#owner.isActive()) return;
    this.#recovering = true;
    const { logger, link } = this.#parts;
    try {
      await pause(RECOVERY_PAUSE);
      while (this.#owner.isActive() && link.connected) {
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
    try {
      await jsm.consumers.info(stream, this.#name);
    } catch (error) {
      if (apiErrorCode(error) !== CONSUMER_NOT_FOUND) throw error;
      told('its consumer was deleted');
      // Other instances may hold events behind our own: the shared position is what the server last confirmed.
      this.#use(await this.#source.recreate(this.#ackFloor + 1));
    }
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
    const { label, stream } = this.#source;
    const problem =
      `its position (${floor}) is beyond the end of stream '${stream}' (${lastSequence}), which has lost ` +
      `its tail: new events do not arrive until the stream has grown past it, or the service is stopped, the durable removed and the service started again`;
    if (this.#problem !== problem) this.#parts.logger.error(`'${label}': ${problem}`);
    this.#problem = problem;
  }
}
