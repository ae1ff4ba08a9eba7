import type { StreamLimits } from './stream-options';

/** Which message ids a stream has stored lately. */
export class DuplicateWindow {
  readonly #ids = new Map<string, { readonly sequence: number; readonly storedAt: number }>();
  readonly #limits: Pick<StreamLimits, 'duplicateWindow' | 'maxMessages'>;

  constructor(limits: Pick<StreamLimits, 'duplicateWindow' | 'maxMessages'>) {
    this.#limits = limits;
  }

  /** Remembers the id, unless it is empty or known; returns the sequence under which it was stored before. */
  add(messageId: string, sequence: number, now: number): number | undefined {
    this.#forget(now);
    const original = this.#ids.get(messageId);
    if (original !== undefined) return original.sequence;
    if (messageId !== '') this.#ids.set(messageId, { sequence, storedAt: now });
    return undefined;
  }

  #forget(now: number): void {
    for (const [id, { storedAt }] of this.#ids) {
      if (storedAt + this.#limits.duplicateWindow > now && this.#ids.size <= this.#limits.maxMessages) break;
      this.#ids.delete(id);
    }
  }
}
