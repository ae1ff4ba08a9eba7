import { Fifo } from './fifo';
import type { StreamLimits } from './stream-options';

/** Which message ids a stream has stored lately. */
export class DuplicateWindow {
  readonly #sequences = new Map<string, number>();
  // Beside the map, which would step over all it has forgotten to find its oldest: once it was full, a seventh of an emit.
  readonly #order = new Fifo<{ readonly id: string; readonly storedAt: number }>();
  readonly #limits: Pick<StreamLimits, 'duplicateWindow' | 'maxMessages'>;

  constructor(limits: Pick<StreamLimits, 'duplicateWindow' | 'maxMessages'>) {
    this.#limits = limits;
  }

  /** Remembers the id, unless it is empty or known; returns the sequence under which it was stored before. */
  add(messageId: string, sequence: number, now: number): number | undefined {
    this.#forget(now);
    const original = this.#sequences.get(messageId);
    if (original !== undefined || messageId === '') return original;
    this.#sequences.set(messageId, sequence);
    this.#order.push({ id: messageId, storedAt: now });
    return undefined;
  }

  #forget(now: number): void {
    const { duplicateWindow, maxMessages } = this.#limits;
    for (let oldest = this.#order.at(0); oldest !== undefined; oldest = this.#order.at(0)) {
      if (oldest.storedAt + duplicateWindow > now && this.#order.length <= maxMessages) return;
      this.#order.shift();
      this.#sequences.delete(oldest.id);
    }
  }
}
