import type { Socket } from 'node:net';

/** Milliseconds between two questions to the server, and in which it is to answer. */
const INTERVAL = 5000;
const PATIENCE = 6000;
const MAX_PATIENCE = 120_000;
/** Shorter waits say nothing: milliseconds without an answer from which on `problem` tells of it. */
const NOTEWORTHY = 3000;
/** Milliseconds without a tick after which it was this process that stood still. */
const STANDSTILL = 2500;
/** Bytes received within a second that are a sign of life. Heartbeats of pull requests, which may outlive the way there, are fewer. */
const SIGN_OF_LIFE = 512;
/** How many times the patience a server may answer nothing while it sends. */
const WHILE_SENDING = 8;
/** The share of the slowest answer that the next one still counts. */
const DECAY = 0.95;

/** What is observed. */
export interface LivenessParts {
  /** Asks the server, behind everything sent before; rejects when the connection is lost. */
  ask(): Promise<void>;
  /** Bytes that have been read from the server. */
  received(): number;
  /** Whether the last of them end within a command: more is on its way, and the answer may be behind it. */
  isWithinCommand(): boolean;
  socket(): Socket | undefined;
  /** The connection is dead. */
  giveUp(silence: number): void;
}

/**
 * Finds connections on which nothing passes any more, although no end of them has come: a partition, a forgotten entry of a
 * NAT, a failed host. The server is asked every few seconds. On a slow link its answer waits behind what is sent and
 * received: a message that has arrived in part is a sign of life, and so is that a full socket takes more. Whole messages are none:
 * they may come down although nothing goes up. What the operating
 * system has taken is sent out of sight: a connection given up for that makes the next one more patient.
 */
export class Liveness {
  readonly #parts: LivenessParts;
  /** All moments are by the monotonic clock. */
  #tickedAt = performance.now();
  #aliveAt = 0;
  /** When the server was last asked, and when the question that waits for its answer was. */
  #askedAt = -Infinity;
  #waitingSince: number | undefined;
  #received = 0;
  #queued = 0;
  /** Bytes that had been written when the question was asked that was last answered, and the next one. */
  #confirmed = 0;
  #asked = 0;
  /** How slow answers have lately been, doubled; and how many connections in a row were given up. */
  #measured = PATIENCE;
  #givenUp = 0;

  constructor(parts: LivenessParts) {
    this.#parts = parts;
  }

  /** What is wrong at this moment. */
  get problem(): string | undefined {
    const now = performance.now();
    if (this.#waitingSince === undefined || now - this.#waitingSince < NOTEWORTHY) return undefined;
    const seconds = Math.round((now - this.#waitingSince) / 1000);
    const unconfirmed = (this.#parts.socket()?.bytesWritten ?? 0) - this.#confirmed;
    return `NATS has not answered for ${seconds} s, ${unconfirmed} bytes wait for confirmation: the link is slow or broken`;
  }

  /** A connection has begun. */
  connected(): void {
    this.#waitingSince = undefined;
    this.#askedAt = -Infinity;
    this.#aliveAt = performance.now();
    this.#received = this.#parts.received();
    this.#queued = 0;
    this.#confirmed = 0;
  }

  /** Called once a second while there is a connection. */
  tick(): void {
    const now = performance.now();
    // What arrived while this process stood still has not been read yet.
    if (now - this.#tickedAt > STANDSTILL || this.#isProgress()) this.#aliveAt = now;
    this.#tickedAt = now;
    if (this.#waitingSince === undefined) {
      if (now - this.#askedAt >= INTERVAL) this.#ask(now);
      return;
    }
    const patience = Math.min(MAX_PATIENCE, this.#measured * 2 ** this.#givenUp);
    const waited = now - this.#waitingSince;
    const silence = now - Math.max(this.#waitingSince, this.#aliveAt);
    if (silence < patience && waited < WHILE_SENDING * patience) return;
    this.#waitingSince = undefined;
    this.#givenUp++;
    this.#parts.giveUp(Math.round(waited));
  }

  #ask(now: number): void {
    this.#askedAt = now;
    this.#waitingSince = now;
    this.#asked = this.#parts.socket()?.bytesWritten ?? 0;
    const answered = (): void => {
      // Of an earlier connection.
      if (this.#waitingSince !== now) return;
      this.#waitingSince = undefined;
      this.#confirmed = this.#asked;
      this.#givenUp = 0;
      const doubled = 2 * (performance.now() - now);
      this.#measured = Math.max(PATIENCE, doubled, this.#measured * DECAY);
    };
    this.#parts.ask().then(answered, () => undefined);
  }

  /** Whether part of what the server sends has arrived, or a full socket has taken more, since the last tick. */
  #isProgress(): boolean {
    const received = this.#parts.received();
    const queued = queuedIn(this.#parts.socket());
    const isReceiving = received - this.#received >= SIGN_OF_LIFE && this.#parts.isWithinCommand();
    const isProgress = isReceiving || (this.#queued > 0 && queued !== this.#queued);
    this.#received = received;
    this.#queued = queued;
    return isProgress;
  }
}

/** Bytes of the write under way that the operating system has not taken: as Node's own time limit of a socket observes it. */
function queuedIn(socket: Socket | undefined): number {
  const { _handle } = (socket ?? {}) as { _handle?: { writeQueueSize?: number } | null };
  return _handle?.writeQueueSize ?? 0;
}
