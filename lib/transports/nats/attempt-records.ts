import { systemClock } from '../../core/clock';
import { randomUUID } from 'node:crypto';
import type { JetStreamManager, MsgRequest, StoredMsg } from 'nats';
import type { EventsLogger } from '../../core/logger';
import { attemptRecordFilter, attemptRecordSubject, retryStream } from '../../core/names';
import type { Subject } from '../../core/subject';
import { textOf } from '../../core/thrown';
import { apiErrorCode } from './api';
import { Coalesced } from './coalesced';
import { within } from './dial';
import { encodeHeaders } from './header-block';
import type { StreamPublisher } from './publisher';
import type { Position } from './pull-source';

const NO_MESSAGE = 10037;

/** Milliseconds between two writes of a process: so long for each process that writes, so that all together write as often. */
const INTERVAL = 20;
const MAX_INTERVAL = 500;
/** Milliseconds that an event waits for its record, and for which none is written or read after that failed. */
const TIMEOUT = 2000;
/** Milliseconds after which a read ends: over a slow link, the others may write faster than this process can read. */
const READ_LIMIT = 1000;
const PAUSE_AFTER_FAILURE = 5000;
/** Milliseconds between two removals of records, and of silence after which a process whose record is empty is taken for gone. */
const REMOVAL_INTERVAL = 100;
const SILENCE = 60_000;
const MAX_ENTRIES = 100_000;
/** Some forty bytes each: also where the server takes only small messages. */
const ENTRIES_A_MESSAGE = 1000;
/** Messages of one process after which it writes all of its entries, and removes what it wrote before. */
const MAX_MESSAGES = 64;

/** What is known of an event before an attempt. */
export interface Past {
  /** Attempts that failed. */
  readonly failures: number;
  /** Processes that ended while they ran it. */
  readonly deaths: number;
}

/** An event that a process ran and did not settle for good. */
interface Entry {
  readonly timestamp: string;
  failures: number;
  running: boolean;
}

interface OwnEntry extends Entry {
  /** Delivery count of the last attempt here. */
  attempt: number;
  /** Milliseconds since the epoch. */
  firstFailedAt: number | undefined;
}

/** The record of another process. */
interface Peer {
  readonly subject: string;
  readonly entries: Map<number, Entry>;
  lastSequence: number;
  heardAt: number;
  /** It says so, or an event that it was running came here. */
  ended: boolean;
}

export interface AttemptRecordParts {
  readonly publisher: StreamPublisher;
  readonly jsm: JetStreamManager;
  readonly clusterId: string;
  readonly logger: EventsLogger;
  /** Identity of this process among those that write records. */
  readonly process: string;
}

/**
 * The attempts at the events of one durable that did not settle them, by all processes: how often each event failed, and which
 * processes ended while they ran it. The delivery count tells neither, see ADR 7.
 *
 * Each process writes the entries that changed, many in one message, to a subject of its own in the stream of re-deliveries: a
 * failure before the event goes back to the server, an attempt after the first before it begins. An entry that says "running"
 * while the event is delivered to another process is the trace of a process that ended. Records are read only for an event
 * that was delivered elsewhere since the last attempt here.
 *
 * Where records cannot be written or read, events run all the same, with what is known.
 */
export class AttemptRecords {
  readonly #own = new Map<number, OwnEntry>();
  readonly #peers = new Map<string, Peer>();
  readonly #changed = new Set<number>();
  readonly #write: Coalesced;
  readonly #read: Coalesced;
  readonly #removal: Coalesced;
  readonly #subject: Subject;
  #messages = 0;
  #lastSequence = 0;
  #readTo = 0;
  #pausedUntil = -Infinity;
  /** Handing back has begun: others must read it, so that this process no longer removes its record. */
  #ending = false;

  /** @param shared whether other processes handle the events too: a broadcast's are its own */
  constructor(
    private readonly parts: AttemptRecordParts,
    private readonly durable: string,
    private readonly stream: string,
    private readonly shared: boolean,
  ) {
    this.#subject = attemptRecordSubject(parts.clusterId, durable, stream, parts.process);
    const interval = (): number => Math.min(MAX_INTERVAL, INTERVAL * (1 + this.#peers.size));
    this.#write = new Coalesced(() => this.#writeChanged(), interval);
    this.#read = new Coalesced(() => this.#readNew(), interval);
    this.#removal = new Coalesced(
      () => this.#removeObsolete(),
      () => REMOVAL_INTERVAL,
    );
  }

  /** Whether nothing is known of any event. */
  get empty(): boolean {
    return this.#own.size === 0 && this.#peers.size === 0;
  }

  async past(position: Position, attempt: number): Promise<Past> {
    const own = this.#entry(position);
    if (own === undefined || own.running || own.attempt !== attempt - 1) await this.#tryTo(this.#read);
    let failures = own?.failures ?? 0;
    let deaths = 0;
    for (const peer of this.#peers.values()) {
      const entry = peer.entries.get(position.sequence);
      if (entry?.timestamp !== position.timestamp) continue;
      failures += entry.failures;
      if (!entry.running) continue;
      deaths++;
      peer.ended = true;
    }
    return { failures, deaths };
  }

  /** Resolves when it is on record that the event runs here. */
  begins(position: Position, attempt: number): Promise<void> {
    const entry = this.#ownEntry(position);
    entry.attempt = attempt;
    entry.running = true;
    return this.#changes(position) ?? Promise.resolve();
  }

  /** @returns when the failure is on record, if that is to be waited for */
  failed(position: Position, attempt: number): Promise<void> | undefined {
    const entry = this.#ownEntry(position);
    entry.attempt = attempt;
    entry.running = false;
    entry.failures++;
    entry.firstFailedAt ??= systemClock.now();
    return this.#changes(position);
  }

  /** The attempt ended without a result. @returns when that is on record, if that is to be waited for */
  handedBack(position: Position): Promise<void> | undefined {
    const entry = this.#entry(position);
    if (entry?.running !== true) return undefined;
    this.#handBack(position.sequence, entry);
    return this.#changes(position);
  }

  /** As `handedBack`, for all that runs. This process makes no further attempts. */
  async handedBackAll(): Promise<void> {
    for (;;) {
      const running = [...this.#own].filter(([, entry]) => entry.running);
      for (const [sequence, entry] of running) this.#handBack(sequence, entry);
      if (this.#changed.size > 0) await this.#tryTo(this.#write);
      // An attempt that waited for its turn, or for its record, may have begun meanwhile.
      if (running.length === 0) return;
    }
  }

  #handBack(sequence: number, entry: OwnEntry): void {
    this.#ending = true;
    entry.running = false;
    if (entry.failures === 0) this.#own.delete(sequence);
    this.#changed.add(sequence);
  }

  firstFailedAt(position: Position): number | undefined {
    return this.#entry(position)?.firstFailedAt;
  }

  /** Forgets an event that is settled for good. */
  settled({ sequence }: Position): void {
    for (const { entries } of this.#peers.values()) entries.delete(sequence);
    if (this.#own.delete(sequence)) this.#changed.add(sequence);
    if (this.#own.size === 0) this.#tidy();
  }

  /** Everything up to this sequence is settled, by whomever. */
  settledTo(floor: number): void {
    for (const { entries } of this.#peers.values()) {
      for (const sequence of entries.keys()) if (sequence <= floor) entries.delete(sequence);
    }
    for (const sequence of this.#own.keys()) {
      if (sequence <= floor && this.#own.delete(sequence)) this.#changed.add(sequence);
    }
    this.#tidy();
  }

  /** Forgets all events: the stream was made anew. */
  clear(): void {
    this.settledTo(Infinity);
  }

  /** Resolves when what nobody needs any more is removed. */
  async tidied(): Promise<void> {
    if (this.#obsolete.length > 0) await this.#removal.run().catch(() => undefined);
  }

  #entry({ sequence, timestamp }: Position): OwnEntry | undefined {
    const entry = this.#own.get(sequence);
    return entry?.timestamp === timestamp ? entry : undefined;
  }

  #ownEntry(position: Position): OwnEntry {
    const found = this.#entry(position);
    if (found !== undefined) return found;
    const { sequence, timestamp } = position;
    const entry = { timestamp, failures: 0, running: false, attempt: 0, firstFailedAt: undefined };
    this.#own.set(sequence, entry);
    if (this.#own.size > MAX_ENTRIES) {
      const [oldest = sequence] = this.#own.keys();
      this.#own.delete(oldest);
      this.#changed.add(oldest);
    }
    return entry;
  }

  #changes({ sequence }: Position): Promise<void> | undefined {
    if (!this.shared) return undefined;
    this.#changed.add(sequence);
    return this.#tryTo(this.#write);
  }

  /** Never rejects, and does not try for a while after a failure. */
  async #tryTo(access: Coalesced): Promise<void> {
    if (!this.shared || performance.now() < this.#pausedUntil) return;
    try {
      await access.run();
    } catch (error) {
      if (performance.now() < this.#pausedUntil) return;
      this.#pausedUntil = performance.now() + PAUSE_AFTER_FAILURE;
      this.parts.logger.warn(
        `failed attempts at events of '${this.durable}' cannot be ${access === this.#read ? 'read' : 'recorded'} in stream ` +
          `'${retryStream(this.parts.clusterId)}', so that events may run more often than their retry policy says; ` +
          `tried again in ${PAUSE_AFTER_FAILURE} ms: ${textOf(error)}`,
      );
    }
  }

  async #writeChanged(): Promise<void> {
    const before = this.#messages;
    const all = before >= MAX_MESSAGES;
    const sequences = all ? [...new Set([...this.#own.keys(), ...this.#changed])] : [...this.#changed];
    this.#changed.clear();
    let first: number | undefined;
    for (let at = 0; at < sequences.length; at += ENTRIES_A_MESSAGE) {
      try {
        const written = await this.#publish(sequences.slice(at, at + ENTRIES_A_MESSAGE));
        first ??= written;
      } catch (error) {
        for (const sequence of sequences.slice(at)) this.#changed.add(sequence);
        throw error;
      }
    }
    if (!all || first === undefined) return;
    // However many they are, increments follow.
    this.#messages = Math.min(this.#messages - before, MAX_MESSAGES / 2);
    await this.#purge(this.#subject, first).catch(() => undefined);
  }

  async #publish(sequences: readonly number[]): Promise<number> {
    const entries = sequences.map((sequence) => {
      const entry = this.#own.get(sequence);
      return entry === undefined
        ? [sequence]
        : [sequence, entry.timestamp, entry.failures, Number(entry.running)];
    });
    const body = JSON.stringify({ entries, ending: this.#ending });
    const header = encodeHeaders({ 'Nats-Msg-Id': randomUUID() });
    const { sequence } = await this.parts.publisher.publish(
      { subject: this.#subject, header, body, bodyLength: body.length },
      { stream: retryStream(this.parts.clusterId), timeout: TIMEOUT },
    );
    // The stream was made anew: what was read is gone, and counting begins at one.
    if (sequence <= this.#lastSequence) {
      this.#readTo = 0;
      this.#peers.clear();
      for (const own of this.#own.keys()) this.#changed.add(own);
    }
    this.#lastSequence = sequence;
    this.#messages++;
    return sequence;
  }

  async #readNew(): Promise<void> {
    const { jsm, clusterId } = this.parts;
    const filter = attemptRecordFilter(clusterId, this.durable, this.stream);
    const end = performance.now() + READ_LIMIT;
    do {
      const query = { seq: this.#readTo + 1, next_by_subj: filter } as unknown as MsgRequest;
      const message = await within(
        TIMEOUT,
        jsm.streams.getMessage(retryStream(clusterId), query).catch((error: unknown) => {
          if (apiErrorCode(error) === NO_MESSAGE) return undefined;
          throw error;
        }),
      );
      if (message === undefined) return;
      this.#readTo = message.seq;
      if (message.subject !== this.#subject) this.#merge(message, recordIn(message.data));
    } while (performance.now() < end);
  }

  #merge({ subject, seq: lastSequence, timestamp }: StoredMsg, { entries, ending }: ReadRecord): void {
    let peer = this.#peers.get(subject);
    if (peer === undefined) {
      peer = { subject, entries: new Map(), lastSequence, heardAt: 0, ended: false };
      this.#peers.set(subject, peer);
    }
    peer.lastSequence = lastSequence;
    peer.heardAt = performance.now() - Math.max(0, systemClock.now() - (Date.parse(timestamp) || Infinity));
    peer.ended = ending;
    for (const { sequence, entry } of entries) {
      if (entry === undefined) peer.entries.delete(sequence);
      else peer.entries.set(sequence, entry);
    }
  }

  #tidy(): void {
    if (!this.shared) this.#changed.clear();
    else if (this.#obsolete.length > 0) this.#removal.run().catch(() => undefined);
    else if (this.#changed.size > 0) void this.#tryTo(this.#write);
  }

  /** Subjects of records in which there is nothing any more, each with the last message of it that is known. */
  get #obsolete(): (readonly [subject: string, lastSequence: number])[] {
    const now = performance.now();
    const own: [string, number][] =
      this.#own.size === 0 && this.#messages > 0 && !this.#ending
        ? [[this.#subject, this.#lastSequence]]
        : [];
    const peers = [...this.#peers.values()].filter(
      ({ entries, ended, heardAt }) => entries.size === 0 && (ended || now - heardAt > SILENCE),
    );
    return [...own, ...peers.map(({ subject, lastSequence }) => [subject, lastSequence] as const)];
  }

  async #removeObsolete(): Promise<void> {
    for (const [subject, lastSequence] of this.#obsolete) {
      if (subject === this.#subject) {
        this.#messages = 0;
        this.#changed.clear();
      } else {
        this.#peers.delete(subject);
      }
      await this.#purge(subject, lastSequence + 1);
    }
  }

  /** Removes the messages before a sequence. */
  async #purge(subject: string, before: number): Promise<void> {
    const stream = retryStream(this.parts.clusterId);
    await this.parts.jsm.streams.purge(stream, { filter: subject, seq: before });
  }
}

interface ReadEntry {
  readonly sequence: number;
  /** `undefined` for an event that is settled. */
  readonly entry: Entry | undefined;
}

interface ReadRecord {
  readonly entries: readonly ReadEntry[];
  readonly ending: boolean;
}

/** What a message says. Whoever may write to the stream can have written it: what is not an entry is skipped. */
function recordIn(data: Uint8Array): ReadRecord {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(data).toString());
  } catch {
    // Not ours.
  }
  const { entries, ending } = Object(parsed) as { entries?: unknown; ending?: unknown };
  return { entries: Array.isArray(entries) ? entries.flatMap(entryIn) : [], ending: ending === true };
}

function entryIn(each: unknown): ReadEntry[] {
  if (!Array.isArray(each)) return [];
  const [sequence, timestamp, failures, running] = each as unknown[];
  if (!isCount(sequence)) return [];
  if (each.length === 1) return [{ sequence, entry: undefined }];
  if (typeof timestamp !== 'string' || !isCount(failures)) return [];
  return [{ sequence, entry: { timestamp, failures, running: running === 1 } }];
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
