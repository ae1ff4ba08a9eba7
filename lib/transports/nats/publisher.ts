import { createInbox, NatsError } from 'nats';
import type { ReceivedMessage } from './received-message';
import { EventsError, type EventsErrorCode, type EventsErrorOptions } from '../../core/errors';
import { ownText } from '../../core/text';
import { jetStreamProblem } from './api';
import type { NatsLink } from './connection';
import { statusOf } from './header-block';
import { NumberMap } from './number-map';
import { judge } from './server-errors';
import type { WireMessage } from './wire-message';

/** The client's default is 5 s; a shorter one re-sends sooner, which the message id makes harmless. */
const TRY_TIMEOUT = 2500;
const FIRST_BACKOFF = 100;
const LAST_BACKOFF = 1000;
/** Milliseconds that the stream has for its acknowledgement once the server has the message. */
const ANSWER_TIMEOUT = TRY_TIMEOUT / 2;
/** Bytes that wait in the socket. What comes then is kept here: it can still expire without being sent. */
const MAX_UNSENT = 1024 * 1024;
const SWEEP_INTERVAL = 100;

/** What is to become of a message. */
export interface PublishTarget {
  /** The stream whose acknowledgement counts; another one's is an error. */
  readonly stream: string;
  /** Milliseconds in which it must be confirmed. */
  readonly timeout: number;
  /** For a batch, whose tries must not be confused. */
  readonly batch?: {
    /** What the id of each try begins with, and the number of its messages: an acknowledgement names both. */
    readonly id: string;
    readonly size: number;
    readonly subjects: ReadonlySet<string>;
    /** All of it, this message last, for one try. */
    readonly encode: () => readonly WireMessage[];
  };
}

export interface StreamAck {
  readonly stream: string;
  readonly sequence: number;
  /** The stream had it before this publish. A duplicate of an earlier try of this publish is none. */
  readonly duplicate: boolean;
}

/** A class, whose fields the engine lays out at once: a spread literal of them cost a sixth of the whole emit. */
class Pending {
  readonly deadline: number;
  tries = 0;
  nextTry: number;
  /** The last try has had no answer so far. */
  awaiting = false;
  /** When that was, in the order of all tries. */
  turn = 0;
  /** The server has seen it. Before, another copy would only wait behind it. */
  arrived = false;
  /** A try got no answer, or none that tells its outcome: the message may be stored. */
  unanswered = false;
  /** The answer to the first try said that the id was there before it. */
  known = false;
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

/** An answer as it came: nothing of it is certain. */
interface PubAck {
  readonly stream?: unknown;
  readonly seq?: unknown;
  readonly duplicate?: unknown;
  /** Of a batch: its id, and how many of its messages are stored. */
  readonly batch?: unknown;
  readonly count?: unknown;
  readonly error?: unknown;
}

/** Server error: an earlier publish of the id is being stored. */
const ID_IN_PROCESS = 10158;
const NO_STREAM = 'no stream answers';

/**
 * Publishes to streams and waits for their acknowledgement, on an inbox of its own. An unknown outcome is tried again
 * with the same message id and the same reply subject, so that a late acknowledgement of an earlier try counts too.
 */
export class StreamPublisher {
  readonly #link: NatsLink;
  readonly #prefix: string;
  readonly #pending = new NumberMap<Pending>();
  /** Questions on their way: why a stream does not answer. */
  readonly #diagnoses = new Map<string, Promise<string | undefined>>();
  #next = 0;
  #turn = 0;
  #asking = false;
  /** The socket is full: what is published waits behind what waits already. */
  #full = false;
  #draining = false;
  #closed = false;
  #sweep: NodeJS.Timeout | undefined;

  constructor(link: NatsLink, inboxPrefix: string) {
    this.#link = link;
    this.#prefix = ownText(`${createInbox(inboxPrefix)}.`);
    link.subscribe(`${this.#prefix}*`, { onMessage: (msg) => this.#onReply(msg) });
    link.listen({
      reconnected: () => {
        for (const entry of this.#pending.values()) entry.nextTry = 0;
        this.#sendDue(performance.now());
      },
      disconnected: () => {
        this.#full = false;
        this.#draining = false;
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
   * @throws EventsError `publish_unconfirmed`, `no_stream`, `jetstream_unavailable`, `publish_rejected`, `permission_denied`
   */
  publish(message: WireMessage, target: PublishTarget): Promise<StreamAck> {
    if (this.#closed) return Promise.reject(new EventsError('closed', 'the transport is closed'));
    return new Promise((resolve, reject) => {
      const now = performance.now();
      const entry = new Pending(message, target, this.#next++, now, resolve, reject);
      this.#pending.set(entry.number, entry);
      this.#sweep ??= setInterval(() => this.#onSweep(), SWEEP_INTERVAL);
      if (this.#link.connected && !this.#isFull()) this.#send(entry, now);
    });
  }

  #send(entry: Pending, now: number): void {
    const { message, target } = entry;
    entry.tries++;
    entry.awaiting = true;
    entry.arrived = false;
    entry.turn = ++this.#turn;
    entry.nextTry = now + TRY_TIMEOUT;
    try {
      const { frames } = this.#link;
      const reply = this.#prefix + entry.number;
      if (target.batch === undefined) return frames.publish(message, reply);
      const batch = target.batch.encode();
      for (const each of batch.slice(0, -1)) frames.publish(each);
      frames.publish(batch.at(-1) as WireMessage, reply);
    } catch (error) {
      this.#onUnsent(entry, error as Error);
    }
  }

  /** The client throws for a connection that is closed, and for what it can never send: a payload over the limit. */
  #onUnsent(entry: Pending, cause: Error): void {
    entry.awaiting = false;
    if (cause instanceof NatsError && /^CONNECTION_/.test(cause.code)) {
      entry.problem = 'the connection is closed';
      return;
    }
    const message = `cannot publish to ${entry.message.subject}: ${cause.message}`;
    this.#settle(entry, refusalOf(entry, 'publish_rejected', message, { cause }));
  }

  #onSweep(): void {
    const now = performance.now();
    let overdue = false;
    for (const entry of this.#pending.values()) {
      if (now >= entry.deadline) {
        if (entry.awaiting) this.#unknown(entry, 'no acknowledgement came');
        this.#giveUp(entry, entry.problem);
      } else if (entry.awaiting && !entry.arrived) {
        overdue ||= now >= entry.nextTry - ANSWER_TIMEOUT;
      } else if (entry.awaiting && now >= entry.nextTry) {
        this.#unknown(entry, 'no acknowledgement came');
      }
    }
    if (!this.#link.connected) return;
    if (overdue && !this.#asking) void this.#ask();
    if (this.#link.unsent < MAX_UNSENT) this.#full = false;
    this.#sendDue(now);
  }

  /** Sends what is not on its way, as far as the socket takes it. */
  #sendDue(now: number): void {
    for (const entry of this.#pending.values()) {
      if (entry.awaiting || now < entry.nextTry) continue;
      if (this.#isFull()) return;
      this.#send(entry, now);
    }
  }

  #isFull(): boolean {
    if (!this.#full && this.#link.unsent >= MAX_UNSENT) {
      this.#full = true;
      if (this.#draining) return true;
      this.#draining = true;
      this.#link.whenSent(() => {
        this.#draining = false;
        this.#full = false;
        if (this.#link.connected) this.#sendDue(performance.now());
      });
    }
    return this.#full;
  }

  /** Finds out which tries the server has seen. On a slow link, that is long after they were sent. */
  async #ask(): Promise<void> {
    const last = this.#turn;
    this.#asking = true;
    try {
      await this.#link.ask();
    } catch {
      return; // The connection is lost: all of them are sent again.
    } finally {
      this.#asking = false;
    }
    const soonest = performance.now() + ANSWER_TIMEOUT;
    for (const entry of this.#pending.values()) {
      if (!entry.awaiting || entry.arrived || entry.turn > last) continue;
      entry.arrived = true;
      entry.nextTry = Math.max(entry.nextTry, soonest);
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
        if (statusOf(msg).code === 503) this.#tryAgain(entry, NO_STREAM);
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
    if (typeof ack.error === 'object' && ack.error !== null) return this.#onRefusal(entry, ack.error);
    const { seq, duplicate } = ack;
    if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1) {
      // nats-server 2.10 says 0 of an id that is staged: whether it will be stored is not decided.
      entry.known ||= duplicate === true && entry.tries === 1;
      return this.#doubt(entry, 'the server acknowledged it without a sequence');
    }
    if (!isAckOf(entry.target, ack)) {
      return this.#doubt(entry, 'the server did not acknowledge it as a batch');
    }
    this.#pending.delete(entry.number);
    this.#link.refusals.lift('publish', entry.message.subject);
    entry.resolve({
      // Not the acknowledgement's own text: what is cut out of that keeps all that came with it.
      stream: entry.target.stream,
      sequence: seq,
      duplicate: duplicate === true && (entry.known || !entry.unanswered),
    });
  }

  #onRefusal(entry: Pending, error: { readonly err_code?: unknown; readonly description?: unknown }): void {
    const { err_code: code, description } = error;
    const said = `${typeof description === 'string' ? description : 'no reason given'} (${String(code)})`;
    const judgement = judge(code, description);
    if (judgement === 'never') {
      const message = `the server refused '${entry.message.subject}': ${said}`;
      return this.#settle(
        entry,
        refusalOf(entry, 'publish_rejected', message, { serverCode: code as number }),
      );
    }
    entry.known ||= code === ID_IN_PROCESS && entry.tries === 1;
    if (judgement === 'unknown') this.#doubt(entry, said);
    else this.#tryAgain(entry, said);
  }

  /** An answer that does not tell whether the message is stored. */
  #doubt(entry: Pending, problem: string): void {
    entry.unanswered = true;
    this.#tryAgain(entry, problem);
  }

  #tryAgain(entry: Pending, problem: string): void {
    entry.awaiting = false;
    entry.problem = problem;
    entry.nextTry =
      performance.now() + Math.min(FIRST_BACKOFF * 2 ** Math.min(entry.tries - 1, 10), LAST_BACKOFF);
  }

  #deny(subject: string): void {
    for (const entry of this.#pending.values()) {
      if (entry.message.subject !== subject && entry.target.batch?.subjects.has(subject) !== true) continue;
      const message = `the server does not permit this service to publish to '${subject}'`;
      this.#settle(entry, refusalOf(entry, 'permission_denied', message));
    }
  }

  #giveUp(entry: Pending, problem: string): void {
    const { subject } = entry.message;
    const tried = triesOf(entry);
    if (entry.problem === NO_STREAM && !entry.unanswered) return void this.#giveUpUnstored(entry);
    const message = `'${subject}' was not confirmed (${tried}): ${problem}; it may or may not be stored, emit it again with the same id`;
    this.#settle(entry, new EventsError('publish_unconfirmed', message, { retryable: true }));
  }

  /** Nobody took it: JetStream is off, or no stream takes the subject. */
  async #giveUpUnstored(entry: Pending): Promise<void> {
    if (!this.#pending.delete(entry.number)) return;
    const { subject } = entry.message;
    const { stream } = entry.target;
    const tried = triesOf(entry);
    const problem = await this.#whyUnstored(stream);
    entry.reject(
      problem === undefined
        ? new EventsError(
            'no_stream',
            `no stream takes '${subject}' (${tried}); is stream '${stream}' there?`,
            { retryable: true },
          )
        : new EventsError('jetstream_unavailable', `'${subject}' is not stored (${tried}): ${problem}`, {
            retryable: true,
          }),
    );
  }

  /** One question for all that are given up at the same time. */
  #whyUnstored(stream: string): Promise<string | undefined> {
    if (this.#closed || !this.#link.connected) return Promise.resolve(undefined);
    const known = this.#diagnoses.get(stream);
    if (known !== undefined) return known;
    const diagnosis = jetStreamProblem(this.#link.nc, stream).finally(() => this.#diagnoses.delete(stream));
    this.#diagnoses.set(stream, diagnosis);
    return diagnosis;
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

/** A refusal for good, unless an earlier try may have been stored: then nobody knows. */
function refusalOf(
  { unanswered, message }: Pending,
  code: EventsErrorCode,
  reason: string,
  options: EventsErrorOptions = {},
): EventsError {
  if (!unanswered) return new EventsError(code, reason, options);
  const hint = `an earlier try may have stored '${message.subject}': emit it again with the same id`;
  return new EventsError('publish_unconfirmed', `${reason}; ${hint}`, { ...options, retryable: true });
}

const triesOf = ({ target, tries }: Pending): string => `${target.timeout} ms, ${tries} tries`;

/** A server that knows no batches stores their messages one by one, and acknowledges the last. */
const isAckOf = ({ batch }: PublishTarget, ack: PubAck): boolean =>
  batch === undefined ||
  (typeof ack.batch === 'string' && ack.batch.startsWith(batch.id) && ack.count === batch.size);

/** As servers write nearly all of them. */
const PLAIN_ACK = /^\{"stream":"([\w-]+)", ?"seq":(\d{1,15})\}$/;

/** @throws SyntaxError of what is not JSON */
function ackIn(text: string): PubAck | null {
  const plain = PLAIN_ACK.exec(text);
  return plain === null
    ? (JSON.parse(text) as PubAck | null)
    : { stream: plain[1] as string, seq: Number(plain[2]) };
}
