import { deadLetterHeaders, type DeadLetterOrigin } from '../../core/dead-letter';
import type { EventHeaders } from '../../core/headers';
import { deadLetterSubject } from '../../core/names';
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

/** The stream `<clusterId>-dlq`: one message for each event and handler, kept for 30 days. */
export class DeadLetterStream {
  readonly #clusterId: string;
  readonly #log: MessageLog<StoredDeadLetter>;
  readonly #subjects = new Set<string>();

  constructor(clusterId: string, limits: StreamLimits) {
    this.#clusterId = clusterId;
    this.#log = new MessageLog({ ...limits, maxAge: DEAD_LETTER_MAX_AGE });
  }

  /**
   * Stores the event with its failure, unless it is there already.
   * @param identity tells events of one sequence apart: when it was stored, or for one that never was, a unique number
   */
  store(
    { name, headers: original, body }: BrokerMessage,
    identity: number,
    failure: Failure,
    origin: DeadLetterOrigin,
  ): void {
    const subject = deadLetterSubject(this.#clusterId, origin.durable, origin.sequence, identity, name);
    if (this.#subjects.has(subject)) return;
    this.#subjects.add(subject);
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

  toArray(): StoredDeadLetter[] {
    return this.#log.toArray();
  }
}
