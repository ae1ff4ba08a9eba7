import { Fifo } from './fifo';
import type { StreamLimits } from './stream-options';

interface Entry {
  readonly sequence: number;
  readonly storedAt: number;
  readonly bytes: number;
}

/** Messages by sequence, the first being 1, without gaps but for what the limits dropped from the front. */
export class MessageLog<T extends Entry> {
  readonly #entries = new Fifo<T>();
  readonly #limits: Pick<StreamLimits, 'maxAge' | 'maxMessages' | 'maxBytes'>;
  #first = 1;
  #bytes = 0;

  constructor(limits: Pick<StreamLimits, 'maxAge' | 'maxMessages' | 'maxBytes'>) {
    this.#limits = limits;
  }

  /** Sequence of the oldest that is kept; one past `last` when there is none. */
  get first(): number {
    return this.#first;
  }

  /** Sequence of the newest, also after it was dropped; 0 before the first. */
  get last(): number {
    return this.#first + this.#entries.length - 1;
  }

  /** `undefined` for what was dropped or has not come yet. */
  get(sequence: number): T | undefined {
    return this.#entries.at(sequence - this.#first);
  }

  /** Takes the entry, whose sequence must be `last + 1`; returns what the limits dropped for it, oldest first. */
  append(entry: T): T[] {
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
    const dropped: T[] = [];
    while (this.#overfull(entry.storedAt)) {
      const oldest = this.#entries.shift() as T;
      this.#first++;
      this.#bytes -= oldest.bytes;
      dropped.push(oldest);
    }
    return dropped;
  }

  toArray(): T[] {
    return this.#entries.toArray();
  }

  #overfull(now: number): boolean {
    const oldest = this.#entries.at(0);
    if (oldest === undefined || this.#entries.length === 1) return false;
    const { maxAge, maxMessages, maxBytes } = this.#limits;
    return this.#entries.length > maxMessages || this.#bytes > maxBytes || oldest.storedAt + maxAge < now;
  }
}
