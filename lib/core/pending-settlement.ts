import type { Settlement } from './settlement';

/**
 * A settlement that is still to come. It can be awaited as a promise can; transports that handle many events ask it
 * `whenSettled` instead, which costs no promise: see attempt.ts.
 */
export class PendingSettlement implements PromiseLike<Settlement> {
  #settlement: Settlement | undefined = undefined;
  #listener: ((settlement: Settlement) => void) | undefined = undefined;

  /** The first one counts. */
  settle(settlement: Settlement): void {
    if (this.#settlement !== undefined) return;
    this.#settlement = settlement;
    this.#listener?.(settlement);
  }

  /** @param listener called when it is settled, or at once if it is. It must not throw */
  whenSettled(listener: (settlement: Settlement) => void): void {
    const earlier = this.#listener;
    if (this.#settlement !== undefined) listener(this.#settlement);
    else if (earlier === undefined) this.#listener = listener;
    else {
      this.#listener = (settlement) => {
        earlier(settlement);
        listener(settlement);
      };
    }
  }

  then<T = Settlement, E = never>(
    onSettled?: ((settlement: Settlement) => T | PromiseLike<T>) | null,
    onRejected?: ((reason: unknown) => E | PromiseLike<E>) | null,
  ): Promise<T | E> {
    return new Promise<Settlement>((resolve) => this.whenSettled(resolve)).then(onSettled, onRejected);
  }
}

/**
 * Takes what a consumer gives back, its own or another one's promise, without making a promise of it where that is not
 * needed. Either callback may be called before this returns.
 */
export function whenSettled(
  pending: PromiseLike<Settlement>,
  settled: (settlement: Settlement) => void,
  failed: (error: unknown) => void,
): void {
  if (pending instanceof PendingSettlement) pending.whenSettled(settled);
  else pending.then(settled, failed);
}
