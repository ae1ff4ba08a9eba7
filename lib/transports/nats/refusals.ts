import { ackPlaceOf } from './ack-subject';

/**
 * Milliseconds after which a refusal says nothing about this moment any more. Publishing is the users' to try again;
 * subscriptions, our own and the client's for its requests, are tried again every few seconds.
 */
const RECENT = { publish: 60_000, subscription: 15_000 };
/** Event names may come from data; what is remembered of them is bounded. */
const MAX_REMEMBERED = 1000;

export type Operation = 'publish' | 'subscription';

interface Refusal {
  readonly sentence: string;
  readonly operation: Operation;
  /** Grows with each refusal, of whatever subject. */
  number: number;
  at: number;
  lifted: boolean;
}

/**
 * What the server has refused this service. Permissions change while a connection lives, and the server says only no:
 * a refusal counts until the same was seen to be permitted, or until it is old.
 */
export class Refusals {
  readonly #refused = new Map<string, Refusal>();
  #count = 0;

  /** @returns whether it is news */
  add(operation: Operation, subject: string, now = performance.now()): boolean {
    const key = keyOf(operation, subject);
    const known = this.#refused.get(key);
    const news = known === undefined || !isCurrent(known, now);
    this.#refused.delete(key);
    if (this.#refused.size >= MAX_REMEMBERED)
      this.#refused.delete(this.#refused.keys().next().value as string);
    const sentence = `${operation === 'publish' ? 'publish' : 'subscribe'} to "${placeOf(subject)}"`;
    this.#refused.set(key, { sentence, operation, number: ++this.#count, at: now, lifted: false });
    return news;
  }

  /** Whether it is refused at this moment, as far as is known. */
  has(operation: Operation, subject: string): boolean {
    const refusal = this.#refused.size === 0 ? undefined : this.#refused.get(keyOf(operation, subject));
    return refusal !== undefined && isCurrent(refusal, performance.now());
  }

  /** Compared before and after an operation, tells whether that was refused. */
  lastNumber(operation: Operation, subject: string): number {
    return this.#refused.size === 0 ? 0 : (this.#refused.get(keyOf(operation, subject))?.number ?? 0);
  }

  /** It was seen to be permitted. Its number stays, for those who compare. */
  lift(operation: Operation, subject: string): void {
    if (this.#refused.size === 0) return;
    const refusal = this.#refused.get(keyOf(operation, subject));
    if (refusal !== undefined) refusal.lifted = true;
  }

  /** On a new connection everything is asked for again. */
  liftAll(): void {
    for (const refusal of this.#refused.values()) refusal.lifted = true;
  }

  /** What is refused at this moment: `publish to "…"`. */
  get sentences(): string[] {
    const now = performance.now();
    return [...this.#refused.values()].filter((each) => isCurrent(each, now)).map(({ sentence }) => sentence);
  }
}

const isCurrent = ({ operation, at, lifted }: Refusal, now: number): boolean =>
  !lifted && now - at < RECENT[operation];

/** Each acknowledgement has a subject of its own; they are permitted or refused as one. */
const placeOf = (subject: string): string => {
  const place = ackPlaceOf(subject);
  return place === undefined ? subject : `${place}>`;
};

const keyOf = (operation: Operation, subject: string): string => `${operation} ${placeOf(subject)}`;
