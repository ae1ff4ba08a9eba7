import { randomUUID } from 'node:crypto';
import type { JetStreamManager } from 'nats';
import { REDRIVES } from '../../core/dead-letter';
import type { DeadLetterScan, DeadLetterStore, StoredDeadLetter } from '../../core/dead-letter-store';
import { EventsError } from '../../core/errors';
import { emptyHeaders, type EventHeaders } from '../../core/headers';
import {
  deadLetterStream,
  parseDurable,
  retryStream,
  retrySubject,
  type DurableName,
} from '../../core/names';
import { isSubject, type Subject } from '../../core/subject';
import { apiErrorCode, until } from './api';
import type { NatsLink } from './connection';
import type { Durables } from './durables';
import { decodeHeaders, encodeHeaders, MAX_DEAD_LETTER_BLOCK } from './header-block';
import { pause } from './pause';
import type { StreamAck, StreamPublisher } from './publisher';
import { storedMessage } from './stored-message';
import { readStream, type StoredMessage } from './stream-reader';

const SEQUENCE_NOT_FOUND = 10043;
/** Characters of a header that are shown in an error. */
const MAX_SHOWN = 100;
/** How often, and every how many milliseconds, it is looked whether somebody else is sending the same dead letter. */
const LOOKS_FOR_OTHERS = 5;
const LOOK_FOR_OTHERS = 100;
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

  async assertRedrivable(letter: StoredDeadLetter): Promise<void> {
    await this.#redrivable(letter);
  }

  async redrive(letter: StoredDeadLetter, redrives: number): Promise<void> {
    const subject = retrySubject(this.#parts.clusterId, await this.#redrivable(letter));
    const { id, headers, storedAt } = letter;
    const kept = emptyHeaders();
    for (const [key, value] of Object.entries(headers)) {
      if (!/^(?:event-failure-|nats-)/i.test(key)) kept[key] = value;
    }
    kept[REDRIVES] = String(redrives);
    // The sequence alone is used again when the stream is made anew.
    const messageId = `${id}-${storedAt}-${redrives}`;
    const { duplicate, sequence } = await this.#send(subject, kept, letter.body, messageId);
    if (!duplicate || (await this.#waits(sequence, messageId)) || (await this.#isTaken(letter))) return;
    await this.#send(subject, kept, letter.body, `${messageId}-${randomUUID()}`);
  }

  /** The durable to which it can go back. @throws EventsError `no_handler` */
  async #redrivable({ id, headers }: StoredDeadLetter): Promise<DurableName> {
    const { durables, timeout } = this.#parts;
    const name = (headers['Event-Origin-Durable'] ?? '').slice(0, MAX_SHOWN);
    const durable = parseDurable(headers['Event-Origin-Durable']);
    const refuse = (why: string): never => {
      const handler = (headers['Event-Origin-Handler'] ?? name).slice(0, MAX_SHOWN);
      const app = (headers['Event-Origin-App'] ?? '').slice(0, MAX_SHOWN);
      throw new EventsError(
        'no_handler',
        `dead letter ${id} is for handler '${handler}' of '${app}', and ${why}`,
      );
    };
    if (durable === undefined) return refuse(`no handler can have its durable ${JSON.stringify(name)}`);
    if (!(await until(timeout, `durable '${durable}'`, () => durables.exists(durable)))) {
      return refuse(
        `there is no durable '${durable}': it was renamed or removed, or it is a broadcast or ephemeral one, which ` +
          `cannot be redriven`,
      );
    }
    const subject = headers['Event-Origin-Subject'] ?? '';
    if (!isSubject(subject)) {
      return refuse(
        `nobody knows which event it is: ${JSON.stringify(subject.slice(0, MAX_SHOWN))} is no subject`,
      );
    }
    if (headers['Event-Failure-Omitted']?.includes('body') === true) {
      return refuse(
        `it was too large to keep its body: the event is at sequence ${headers['Event-Origin-Sequence']} of stream ` +
          `'${headers['Event-Origin-Stream']}'`,
      );
    }
    return durable;
  }

  #send(subject: Subject, headers: EventHeaders, body: Uint8Array, messageId: string): Promise<StreamAck> {
    const { publisher, clusterId, timeout } = this.#parts;
    return publisher.publish(
      { subject, header: encodeHeaders(headers, messageId), body, bodyLength: body.length },
      { stream: retryStream(clusterId), timeout },
    );
  }

  /** Whether the message of this id is in the retry stream still. */
  async #waits(sequence: number, messageId: string): Promise<boolean> {
    const { link, clusterId } = this.#parts;
    const stored = await storedMessage(link.nc, retryStream(clusterId), { seq: sequence }).catch(
      () => undefined,
    );
    return decodeHeaders(stored?.header, MAX_DEAD_LETTER_BLOCK)?.['Nats-Msg-Id'] === messageId;
  }

  /** Whether somebody else, who sends it at the same time, removes it now. */
  async #isTaken({ id, storedAt }: StoredDeadLetter): Promise<boolean> {
    for (let looks = 0; looks < LOOKS_FOR_OTHERS; looks++) {
      const left = await this.get(id);
      if (left?.storedAt !== storedAt) return true;
      await pause(LOOK_FOR_OTHERS);
    }
    return false;
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

const toDeadLetter = ({ sequence, headers, body, storedAt }: StoredMessage): StoredDeadLetter => ({
  id: String(sequence),
  headers,
  body,
  storedAt,
});
