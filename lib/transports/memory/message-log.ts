import { Fifo } from './fifo';
import type { StreamLimits } from './stream-options';

interface Entry {
  readonly sequence: number;
  readonly storedAt: number;
  readonly bytes: number;
}

/** Messages by sequence, the first being 1, without those that the limits dropped from the front or that were removed. */
export class MessageLog<T extends Entry> {
  // What was removed from the middle leaves its place empty; the oldest is always there.
  readonly #entries = new Fifo<T | undefined>();
  readonly #limits: Pick<StreamLimits, 'maxAge' | 'maxMessages' | 'maxBytes'>;
  #first = 1;
  #count = 0;
  #bytes = 0;

  constructor(limits: Pick<StreamLimits, 'maxAge' | 'maxMessages' | 'maxBytes'>) {
    this.#limits = limits;
  }

  /** Sequence of the oldest that is kept; one past `last` when there is none. */
  get first(): number {
    return this.#first;
  }

  /** Sequence of the newest, also after it was dropped or removed; 0 before the first. */
  get last(): number {
    return this.#first + this.#entries.length - 1;
  }

  /** `undefined` for what was dropped or removed, or has not come yet. */
  get(sequence: number): T | undefined {
    return this.#entries.at(sequence - this.#first);
  }

  /** Takes the entry, whose sequence must be `last + 1`; returns what the limits dropped for it, oldest first. */
  append(entry: T): T[] {
    this.#entries.push(entry);
    this.#count++;
    this.#bytes += entry.bytes;
    const dropped: T[] = [];
    while (this.#overfull(entry.storedAt)) {
      const oldest = this.remove(this.#first);
      if (oldest !== undefined) dropped.push(oldest);
    }
    return dropped;
  }

  /** Returns what was there. Its sequence is not used again. */
  remove(sequence: number): T | undefined {
    const entry = this.get(sequence);
    if (entry === undefined) return undefined;
    this.#entries.replace(sequence - this.#first, undefined);
    this.#count--;
    this.#bytes -= entry.bytes;
    while (this.#entries.length > 0 && this.#entries.at(0) === undefined) {
      this.#entries.shift();
      this.#first++;
    }
    return entry;
  }

  toArray(): T[] {
    return this.#entries.toArray().filter((entry) => entry !== undefined);
  }

  #overfull(now: number): boolean {
    const oldest = this.#entries.at(0);
    if (oldest === undefined || this.#count === 1) return false;
    const { maxAge, maxMessages, maxBytes } = this.#limits;
    return this.#count > maxMessages || this.#bytes > maxBytes || oldest.storedAt + maxAge < now;
  }
}
