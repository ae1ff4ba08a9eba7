import type { JetStreamManager, StreamInfo } from 'nats';
import { deadLetterStream, retryStream } from '../../core/names';
import { RecentDeadLetters } from '../../core/recent-dead-letters';
import { apiErrorCode, isJetStreamOff, JETSTREAM_OFF_PROBLEM, STREAM_NOT_FOUND } from './api';
import type { JetStream } from './jetstream';
import type { PullSubscription } from './pull-subscription';

/** Milliseconds between two looks at the streams; how many consumers are looked at each second, and the seconds for all of them. */
const INTERVAL = 4000;
const CONSUMERS_A_SECOND = 4;
const SECONDS_FOR_ALL = 15;

/** Looks every few seconds at what can go wrong at the server without a word to its clients: streams and consumers that are gone or changed. */
export class Watch {
  readonly #jetStream: JetStream;
  readonly #jsm: JetStreamManager;
  readonly #clusterId: string;
  readonly #pulls: () => readonly PullSubscription[];
  readonly #recent = new RecentDeadLetters();
  #problems: string[] = [];
  #lookedAt = -Infinity;
  #streams: readonly StreamInfo[] = [];
  #deadLettersSeen: number | undefined;
  #turn = 0;
  #looking = false;

  constructor(jetStream: JetStream, clusterId: string, pulls: () => readonly PullSubscription[]) {
    this.#jetStream = jetStream;
    this.#jsm = jetStream.jsm;
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
    } catch (error) {
      // Of any other failure the connection's own state tells.
      if (isJetStreamOff(error)) this.#problems = [JETSTREAM_OFF_PROBLEM];
    } finally {
      this.#looking = false;
    }
  }

  async #lookAtStreams(now: number): Promise<void> {
    const names = [this.#clusterId, deadLetterStream(this.#clusterId), retryStream(this.#clusterId)];
    const found = await Promise.all(names.map((name) => this.#find(name)));
    this.#streams = found.filter((each) => each !== undefined);
    this.#problems = [
      ...(await this.#jetStream.streamProblems(found)),
      ...this.#newDeadLetters(found[1]?.state.last_seq ?? 0, now),
    ];
  }

  #newDeadLetters(last: number, now: number): string[] {
    if (this.#deadLettersSeen !== undefined && last > this.#deadLettersSeen) {
      this.#recent.add(last - this.#deadLettersSeen, now);
    }
    this.#deadLettersSeen = last;
    return this.#recent.problems(now);
  }

  async #lookAtConsumers(): Promise<void> {
    const pulls = this.#pulls();
    const count = Math.min(
      Math.max(CONSUMERS_A_SECOND, Math.ceil(pulls.length / SECONDS_FOR_ALL)),
      pulls.length,
    );
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
