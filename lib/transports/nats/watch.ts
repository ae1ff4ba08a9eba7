import type { JetStreamManager, StreamInfo } from 'nats';
import { deadLetterStream, retryStream } from '../../core/names';
import { apiErrorCode, STREAM_NOT_FOUND } from './api';
import type { PullSubscription } from './pull-subscription';

/** Milliseconds between two looks at the streams, and how many consumers are looked at each second. */
const INTERVAL = 4000;
const CONSUMERS_A_SECOND = 4;
/** Milliseconds for which new dead letters are a problem to be seen. */
const RECENT = 60_000;

/** Looks after what can go wrong at the server without a word to its clients: streams and consumers that are gone. */
export class Watch {
  readonly #jsm: JetStreamManager;
  readonly #clusterId: string;
  readonly #pulls: () => readonly PullSubscription[];
  #problems: string[] = [];
  #lookedAt = 0;
  #streams: readonly StreamInfo[] = [];
  #deadLettersSeen: number | undefined;
  #deadLettersNew = 0;
  #deadLettersNewAt = 0;
  #turn = 0;
  #looking = false;

  constructor(jsm: JetStreamManager, clusterId: string, pulls: () => readonly PullSubscription[]) {
    this.#jsm = jsm;
    this.#clusterId = clusterId;
    this.#pulls = pulls;
  }

  get problems(): readonly string[] {
    return this.#problems;
  }

  /** Called once a second. */
  async tick(now: number): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      if (now - this.#lookedAt >= INTERVAL) {
        this.#lookedAt = now;
        await this.#lookAtStreams(now);
      }
      await this.#lookAtConsumers();
    } catch {
      // Without an answer there is nothing to tell that the connection's own state does not.
    } finally {
      this.#looking = false;
    }
  }

  async #lookAtStreams(now: number): Promise<void> {
    const names = [this.#clusterId, deadLetterStream(this.#clusterId), retryStream(this.#clusterId)];
    const found = await Promise.all(names.map((name) => this.#find(name)));
    this.#streams = found.filter((each) => each !== undefined);
    this.#problems = [
      ...names.filter((_name, i) => found[i] === undefined).map((name) => `stream '${name}' does not exist`),
      ...this.#newDeadLetters(found[1]?.state.last_seq ?? 0, now),
    ];
  }

  #newDeadLetters(last: number, now: number): string[] {
    if (this.#deadLettersSeen !== undefined && last > this.#deadLettersSeen) {
      if (now - this.#deadLettersNewAt > RECENT) this.#deadLettersNew = 0;
      this.#deadLettersNew += last - this.#deadLettersSeen;
      this.#deadLettersNewAt = now;
    }
    this.#deadLettersSeen = last;
    if (this.#deadLettersNew === 0 || now - this.#deadLettersNewAt > RECENT) return [];
    return [`${this.#deadLettersNew} new dead letters in the cluster within the last minute`];
  }

  async #lookAtConsumers(): Promise<void> {
    const pulls = this.#pulls();
    const count = Math.min(CONSUMERS_A_SECOND, pulls.length);
    for (let i = 0; i < count; i++) {
      this.#turn = (this.#turn + 1) % pulls.length;
      const pull = pulls[this.#turn];
      const stream = this.#streams.find(({ config }) => config.name === pull?.stream);
      if (stream !== undefined) await pull?.observe(stream);
    }
  }

  async #find(stream: string): Promise<StreamInfo | undefined> {
    try {
      return await this.#jsm.streams.info(stream);
    } catch (error) {
      if (apiErrorCode(error) === STREAM_NOT_FOUND) return undefined;
      throw error;
    }
  }
}
