import { createInbox, type NatsError } from 'nats';
import type { ReceivedMessage } from './received-message';
import { EventsError } from '../../core/errors';
import { ownText } from '../../core/text';
import { TRANSIENT } from './api';
import type { NatsLink } from './connection';
import { statusOf } from './header-block';
import { NumberMap } from './number-map';
import type { WireMessage } from './wire-message';

/** The client's default is 5 s; a shorter one re-sends sooner, which the message id makes harmless. */
const TRY_TIMEOUT = 2500;
const FIRST_BACKOFF = 100;
const LAST_BACKOFF = 1000;
const SWEEP_INTERVAL = 100;

/** What is to become of a message. */
export interface PublishTarget {
  /** The stream whose acknowledgement counts; another one's is an error. */
  readonly stream: string;
  /** Milliseconds in which it must be confirmed. */
  readonly timeout: number;
  /** For a batch, whose tries must not be confused. */
  readonly batch?: {
    readonly subjects: ReadonlySet<string>;
    /** All of it, this message last, for one try. */
    readonly encode: () => readonly WireMessage[];
  };
}

export interface StreamAck {
  readonly stream: string;
  readonly sequence: number;
  /** The stream had it before. A duplicate of a re-try is our own earlier try, and none. */
  readonly duplicate: boolean;
}

/** A class, whose fields the engine lays out at once: a spread literal of them cost a sixth of the whole emit. */
class Pending {
  readonly deadline: number;
  tries = 0;
  nextTry: number;
  /** The last try has had no answer so far. */
  awaiting = false;
  /** Some try got no answer: the message may be stored. */
  unanswered = false;
  problem = 'not connected to NATS';

  constructor(
    readonly message: WireMessage,
    readonly target: PublishTarget,
    /** Its place among the pending ones, and the last token of its reply subject. */
    readonly number: number,
    now: number,
    readonly resolve: (ack: StreamAck) => void,
    readonly reject: (error: EventsError) => void,
  ) {
    this.deadline = now + target.timeout;
    this.nextTry = now;
  }
}

interface PubAck {
  readonly stream?: string;
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: { readonly code?: number; readonly err_code?: number; readonly description?: string };
}

/**
 * Publishes to streams and waits for their acknowledgement, on an inbox of its own. An unknown outcome is tried again
 * with the same message id and the same reply subject, so that a late acknowledgement of an earlier try counts too.
 */
export class StreamPublisher {
  readonly #link: NatsLink;
  readonly #prefix: string;
  readonly #pending = new NumberMap<Pending>();
  #next = 0;
  #closed = false;
  #sweep: NodeJS.Timeout | undefined;

  constructor(link: NatsLink, inboxPrefix: string) {
    this.#link = link;
    this.#prefix = ownText(`${createInbox(inboxPrefix)}.`);
    link.subscribe(`${this.#prefix}*`, { onMessage: (msg) => this.#onReply(msg) });
    link.listen({
      reconnected: () => {
        const now = Date.now();
        for (const entry of this.#pending.values()) this.#send(entry, now);
      },
      disconnected: () => {
        for (const entry of this.#pending.values()) this.#unknown(entry, 'the connection was lost');
      },
      denied: (operation, subject) => {
        if (operation === 'publish') this.#deny(subject);
      },
      closed: () => {
        for (const entry of this.#pending.values()) this.#giveUp(entry, 'the connection was closed');
      },
    });
  }

  /**
   * @throws EventsError `publish_unconfirmed`, `no_stream`, `publish_rejected`, `permission_denied`
   */
  publish(message: WireMessage, target: PublishTarget): Promise<StreamAck> {
    if (this.#closed) return Promise.reject(new EventsError('closed', 'the transport is closed'));
    return new Promise((resolve, reject) => {
      const now = Date.now();
      const entry = new Pending(message, target, this.#next++, now, resolve, reject);
      this.#pending.set(entry.number, entry);
      this.#sweep ??= setInterval(() => this.#onSweep(), SWEEP_INTERVAL);
      if (this.#link.connected) this.#send(entry, now);
    });
  }

  #send(entry: Pending, now: number): void {
    const { message, target } = entry;
    entry.tries++;
    entry.awaiting = true;
    entry.nextTry = now + TRY_TIMEOUT;
    try {
      const { frames } = this.#link;
      const reply = this.#prefix + entry.number;
      if (target.batch === undefined) return frames.publish(message, reply);
      const batch = target.batch.encode();
      for (const each of batch.slice(0, -1)) frames.publish(each);
      frames.publish(batch.at(-1) as WireMessage, reply);
    } catch (error) {
      // The client throws for what can never be sent: a closed connection, a payload over the limit.
      const cause = error as NatsError;
      this.#settle(
        entry,
        new EventsError('publish_rejected', `cannot publish to ${message.subject}: ${cause.message}`, {
          cause,
        }),
      );
    }
  }

  #onSweep(): void {
    const now = Date.now();
    for (const entry of this.#pending.values()) {
      if (entry.awaiting && (now >= entry.nextTry || now >= entry.deadline)) {
        this.#unknown(entry, 'no acknowledgement came');
      }
      if (now >= entry.deadline) this.#giveUp(entry, entry.problem);
      else if (now >= entry.nextTry && this.#link.connected) this.#send(entry, now);
    }
  }

  #unknown(entry: Pending, problem: string): void {
    if (entry.awaiting) entry.unanswered = true;
    entry.awaiting = false;
    entry.problem = problem;
  }

  #onReply(msg: ReceivedMessage): void {
    // The client must never see an error of ours: it would stop reading for everybody.
    try {
      const entry = this.#pending.get(Number(msg.subject.slice(this.#prefix.length)));
      if (entry === undefined) return;
      if (msg.length === msg.headerLength) {
        if (statusOf(msg).code === 503) this.#transient(entry, 'no stream answers');
        return;
      }
      this.#onAck(entry, ackIn(msg.dataText ?? msg.data.toString('utf8')));
    } catch {
      // Not JSON: somebody who listens to the subject answered. Not an acknowledgement; keep waiting.
    }
  }

  #onAck(entry: Pending, ack: PubAck | null): void {
    // An error names the stream too; what does not is the answer of somebody else who listens.
    if (typeof ack !== 'object' || ack === null || ack.stream !== entry.target.stream) return;
    if (typeof ack.error === 'object' && ack.error !== null) {
      const { err_code: serverCode, description = 'no reason given' } = ack.error;
      if (serverCode === undefined) return;
      if (TRANSIENT.has(serverCode)) return this.#transient(entry, description);
      const message = `the server refused '${entry.message.subject}': ${description} (${serverCode})`;
      // An earlier try may have been stored before this refusal: then nobody knows.
      const code = entry.unanswered ? 'publish_unconfirmed' : 'publish_rejected';
      return this.#settle(entry, new EventsError(code, message, { serverCode, retryable: entry.unanswered }));
    }
    if (typeof ack.seq !== 'number') return;
    this.#pending.delete(entry.number);
    this.#link.refusals.lift('publish', entry.message.subject);
    entry.resolve({
      // Not the acknowledgement's own text: what is cut out of that keeps all that came with it.
      stream: entry.target.stream,
      sequence: ack.seq,
      duplicate: ack.duplicate === true && entry.tries === 1,
    });
  }

  #transient(entry: Pending, problem: string): void {
    entry.awaiting = false;
    entry.problem = problem;
    entry.nextTry = Date.now() + Math.min(FIRST_BACKOFF * 2 ** Math.min(entry.tries - 1, 10), LAST_BACKOFF);
  }

  #deny(subject: string): void {
    for (const entry of this.#pending.values()) {
      if (entry.message.subject !== subject && entry.target.batch?.subjects.has(subject) !== true) continue;
      const message = `the server does not permit this service to publish to '${subject}'`;
      // As with a refusal of the stream: an earlier try may have been stored.
      const code = entry.unanswered ? 'publish_unconfirmed' : 'permission_denied';
      this.#settle(entry, new EventsError(code, message, { retryable: entry.unanswered }));
    }
  }

  #giveUp(entry: Pending, problem: string): void {
    const { subject } = entry.message;
    const { stream, timeout } = entry.target;
    const tried = `${timeout} ms, ${entry.tries} tries`;
    const options = { retryable: true };
    this.#settle(
      entry,
      entry.problem === 'no stream answers' && !entry.unanswered
        ? new EventsError(
            'no_stream',
            `no stream takes '${subject}' (${tried}); is stream '${stream}' there?`,
            options,
          )
        : new EventsError(
            'publish_unconfirmed',
            `'${subject}' was not confirmed (${tried}): ${problem}; it may or may not be stored, emit it again with the same id`,
            options,
          ),
    );
  }

  #settle(entry: Pending, error: EventsError): void {
    if (!this.#pending.delete(entry.number)) return;
    entry.reject(error);
  }

  /** Rejects what still waits, and what comes later. */
  close(): void {
    this.#closed = true;
    // What was emitted in this turn of the event loop is still sent.
    this.#link.frames.flush();
    clearInterval(this.#sweep);
    for (const entry of this.#pending.values()) this.#giveUp(entry, 'the transport was closed');
  }
}

/** As servers write nearly all of them. */
const PLAIN_ACK = /^\{"stream":"([\w-]+)", ?"seq":(\d{1,15})\}$/;

/** @throws SyntaxError of what is not JSON */
function ackIn(text: string): PubAck | null {
  const plain = PLAIN_ACK.exec(text);
  return plain === null
    ? (JSON.parse(text) as PubAck | null)
    : { stream: plain[1] as string, seq: Number(plain[2]) };
}
