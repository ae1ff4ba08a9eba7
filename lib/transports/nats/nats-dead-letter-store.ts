import type { JetStreamManager } from 'nats';
import { REDRIVES } from '../../core/dead-letter';
import type { DeadLetterScan, DeadLetterStore, StoredDeadLetter } from '../../core/dead-letter-store';
import { EventsError } from '../../core/errors';
import { emptyHeaders, type EventHeaders } from '../../core/headers';
import { deadLetterStream, retryStream, retrySubject } from '../../core/names';
import { apiErrorCode, until } from './api';
import type { NatsLink } from './connection';
import type { Durables } from './durables';
import { encodeHeaders } from './header-block';
import type { StreamPublisher } from './publisher';
import { readStream, type StoredMessage } from './stream-reader';

const SEQUENCE_NOT_FOUND = 10043;
/** Also said of what is not permitted, and by file storage of a message that is not there. */
const DELETE_FAILED = 10057;

export interface StoreParts {
  readonly link: NatsLink;
  readonly jsm: JetStreamManager;
  readonly publisher: StreamPublisher;
  readonly durables: Durables;
  readonly clusterId: string;
  readonly inboxPrefix: string;
  /** Milliseconds. */
  readonly timeout: number;
}

/** The stream `<clusterId>-dlq`, and the way back over `<clusterId>-retry`. */
export class NatsDeadLetterStore implements DeadLetterStore {
  readonly #parts: StoreParts;
  readonly #stream: string;

  constructor(parts: StoreParts) {
    this.#parts = parts;
    this.#stream = deadLetterStream(parts.clusterId);
  }

  async scan({ after, limit, headersOnly = false }: DeadLetterScan): Promise<StoredDeadLetter[]> {
    return (await this.#read(Number(after ?? 0) + 1, limit, headersOnly)).map(toDeadLetter);
  }

  async newest(): Promise<number> {
    const { jsm, timeout } = this.#parts;
    return until(
      timeout,
      `stream '${this.#stream}'`,
      async () => (await jsm.streams.info(this.#stream)).state.last_seq,
    );
  }

  async get(id: string): Promise<StoredDeadLetter | undefined> {
    const [message] = await this.#read(Number(id), 1, false);
    return message?.sequence === Number(id) ? toDeadLetter(message) : undefined;
  }

  async assertRedrivable({ id, headers }: StoredDeadLetter): Promise<void> {
    const { durables, timeout } = this.#parts;
    const durable = durableOf(headers);
    const handler = headers['Event-Origin-Handler'] ?? durable;
    if (
      !durable.includes('__') ||
      !(await until(timeout, `durable '${durable}'`, () => durables.exists(durable)))
    ) {
      throw new EventsError(
        'no_handler',
        `dead letter ${id} is for handler '${handler}' of '${headers['Event-Origin-App']}', and there is no durable ` +
          `'${durable}': it was renamed or removed, or it is a broadcast or ephemeral one, which cannot be redriven`,
      );
    }
    if (headers['Event-Failure-Omitted']?.includes('body')) {
      throw new EventsError(
        'no_handler',
        `dead letter ${id} was too large to keep its body: the event is at sequence ` +
          `${headers['Event-Origin-Sequence']} of stream '${headers['Event-Origin-Stream']}'`,
      );
    }
  }

  async redrive(letter: StoredDeadLetter, redrives: number): Promise<void> {
    await this.assertRedrivable(letter);
    const { id, headers, body } = letter;
    const { publisher, clusterId, timeout } = this.#parts;
    const kept = emptyHeaders();
    for (const [key, value] of Object.entries(headers)) {
      if (!/^(?:event-failure-|nats-)/i.test(key)) kept[key] = value;
    }
    kept[REDRIVES] = String(redrives);
    kept['Nats-Msg-Id'] = `${id}-${redrives}`;
    const subject = retrySubject(clusterId, durableOf(headers));
    await publisher.publish(
      { subject, header: encodeHeaders(kept), body, bodyLength: body.length },
      { stream: retryStream(clusterId), timeout },
    );
  }

  async remove(id: string): Promise<boolean> {
    const { jsm, timeout } = this.#parts;
    const remove = (): Promise<boolean> => jsm.streams.deleteMessage(this.#stream, Number(id), false);
    try {
      return await until(timeout, `stream '${this.#stream}'`, remove);
    } catch (error) {
      const code = apiErrorCode(error);
      if (code === SEQUENCE_NOT_FOUND) return false;
      if (code === DELETE_FAILED && (await this.get(id)) === undefined) return false;
      throw error;
    }
  }

  #read(from: number, limit: number, headersOnly: boolean): Promise<StoredMessage[]> {
    const { link, jsm, inboxPrefix, timeout } = this.#parts;
    const query = { stream: this.#stream, filter: `${this.#stream}.>`, from, limit, headersOnly };
    return until(timeout, `stream '${this.#stream}'`, () => readStream(link.nc, jsm, inboxPrefix, query));
  }
}

const durableOf = (headers: EventHeaders): string => headers['Event-Origin-Durable'] ?? '';

const toDeadLetter = ({ sequence, headers, body, storedAt }: StoredMessage): StoredDeadLetter => ({
  id: String(sequence),
  headers,
  body,
  storedAt,
});
