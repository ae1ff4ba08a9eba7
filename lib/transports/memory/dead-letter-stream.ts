import { deadLetterHeaders, type DeadLetterOrigin } from '../../core/dead-letter';
import type { EventHeaders } from '../../core/headers';
import { deadLetterSubject } from '../../core/names';
import { RecentDeadLetters } from '../../core/recent-dead-letters';
import type { Failure } from '../../core/settlement';
import { wireBytes, type BrokerMessage } from './message';
import { MessageLog } from './message-log';
import { DEAD_LETTER_MAX_AGE, type StreamLimits } from './stream-options';

/** A dead letter in the broker. */
export interface StoredDeadLetter {
  readonly sequence: number;
  readonly subject: string;
  readonly headers: EventHeaders;
  readonly body: Uint8Array;
  /** When it became a dead letter, in milliseconds since the epoch. */
  readonly storedAt: number;
  readonly bytes: number;
}

/** What tells the dead letters of one durable apart: where the event was when it failed. */
export interface Place {
  /** 0 for an event that was never stored. */
  readonly sequence: number;
  /** When it came there, or for one that was never stored, a unique number. */
  readonly timestamp: number | string;
}

/** The stream `<clusterId>-dlq`: one message for each event and handler, kept for 30 days. */
export class DeadLetterStream {
  readonly #clusterId: string;
  readonly #log: MessageLog<StoredDeadLetter>;
  readonly #subjects = new Set<string>();
  readonly recent = new RecentDeadLetters();

  constructor(clusterId: string, limits: StreamLimits) {
    this.#clusterId = clusterId;
    this.#log = new MessageLog({ ...limits, maxAge: DEAD_LETTER_MAX_AGE });
  }

  /** Sequence of the newest ever stored; 0 before the first. */
  get last(): number {
    return this.#log.last;
  }

  get(sequence: number): StoredDeadLetter | undefined {
    return this.#log.get(sequence);
  }

  /** At most `limit` of those that come after a sequence, oldest first. */
  after(sequence: number, limit: number): StoredDeadLetter[] {
    const letters: StoredDeadLetter[] = [];
    let next = Math.max(sequence + 1, this.#log.first);
    for (; next <= this.#log.last && letters.length < limit; next++) {
      const letter = this.#log.get(next);
      if (letter !== undefined) letters.push(letter);
    }
    return letters;
  }

  /**
   * Stores the event with its failure, unless it is there already: all instances of a broadcast share one.
   * @param moment by the monotonic clock
   */
  store(
    { name, headers: original, body }: Pick<BrokerMessage, 'name' | 'headers' | 'body'>,
    { sequence, timestamp }: Place,
    failure: Failure,
    origin: DeadLetterOrigin,
    moment: number,
  ): void {
    const subject = deadLetterSubject(this.#clusterId, origin.durable, sequence, timestamp, name);
    if (this.#subjects.has(subject)) return;
    this.#subjects.add(subject);
    this.recent.add(1, moment);
    const headers = Object.freeze(deadLetterHeaders(original, failure, origin));
    const dropped = this.#log.append({
      sequence: this.#log.last + 1,
      subject,
      headers,
      body,
      storedAt: origin.lastFailedAt,
      bytes: wireBytes(headers, body),
    });
    for (const letter of dropped) this.#subjects.delete(letter.subject);
  }

  /** @returns whether it was there */
  remove(sequence: number): boolean {
    const letter = this.#log.remove(sequence);
    if (letter === undefined) return false;
    this.#subjects.delete(letter.subject);
    return true;
  }

  toArray(): StoredDeadLetter[] {
    return this.#log.toArray();
  }
}
