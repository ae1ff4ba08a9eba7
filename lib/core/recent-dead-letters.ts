/** Milliseconds for which new dead letters are a problem to be seen. */
const RECENT = 60_000;

/** Counts new dead letters, for `status.problems`. Moments are those of a monotonic clock. */
export class RecentDeadLetters {
  #count = 0;
  #at = -Infinity;

  add(count: number, now: number): void {
    if (now - this.#at > RECENT) this.#count = 0;
    this.#count += count;
    this.#at = now;
  }

  /** One sentence, or none where the last one came more than a minute ago. */
  problems(now: number): string[] {
    if (now - this.#at > RECENT) return [];
    return [`${this.#count} new dead letters in the cluster within the last minute`];
  }
}
