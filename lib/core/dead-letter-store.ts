import type { EventHeaders } from './headers';

/** A dead letter as the broker keeps it. */
export interface StoredDeadLetter {
  /** Its sequence in the dead-letter stream, as digits. */
  readonly id: string;
  readonly headers: EventHeaders;
  /** The event's own bytes, or none where only headers were asked for. */
  readonly body: Uint8Array;
  /** When it became a dead letter, in milliseconds since the epoch. */
  readonly storedAt: number;
}

export interface DeadLetterScan {
  /** Id after which to begin. Default: at the oldest. */
  readonly after?: string | undefined;
  /** How many to return at most. */
  readonly limit: number;
  /** Leave the bodies out. */
  readonly headersOnly?: boolean;
}

/**
 * Where a transport keeps the dead letters of its cluster, and the way from there back to the handlers. Oldest first;
 * ids grow.
 */
export interface DeadLetterStore {
  /** Fewer than `limit` means that there are no more. */
  scan(query: DeadLetterScan): Promise<readonly StoredDeadLetter[]>;
  /** Sequence of the newest dead letter ever stored; 0 if there was none. */
  newest(): Promise<number>;
  get(id: string): Promise<StoredDeadLetter | undefined>;
  /** @throws EventsError `no_handler` when `redrive` would */
  assertRedrivable(letter: StoredDeadLetter): Promise<void>;
  /**
   * Sends the event to the handler that failed, and to no other. It arrives when the handler's service runs. Called again
   * with the same number, soon, it is sent once.
   * @param redrives how often the event will have been redriven
   * @throws EventsError `no_handler` when the broker knows no such handler (any more)
   */
  redrive(letter: StoredDeadLetter, redrives: number): Promise<void>;
  /** @returns whether it was there */
  remove(id: string): Promise<boolean>;
}

/** What the broker keeps for a handler of this service that no code claims. */
export interface Orphan {
  readonly durable: string;
  readonly stream: string;
  readonly handler: string;
  /** Event names or patterns that it takes, where they are known. */
  readonly patterns?: readonly string[];
  /** Events that wait for it. */
  readonly backlog: number;
}
