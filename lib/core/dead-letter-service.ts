import { redrivesOf } from './dead-letter';
import { assertFilter, fits, type DeadLetterFilter } from './dead-letter-filter';
import { deadLetterOf, type DeadLetter } from './dead-letter-reading';
import type { DeadLetterStore, StoredDeadLetter } from './dead-letter-store';
import { EventsError } from './errors';
import type { JsonCodec } from './json-codec';
import type { DeadLetterReason } from './settlement';

export interface DeadLetterPage {
  readonly items: readonly DeadLetter[];
  /** Pass it to the next call to go on; absent at the end. */
  readonly cursor?: string;
}

export interface DeadLetterCount {
  readonly app: string;
  readonly subscription: string;
  readonly event: string;
  readonly reason: DeadLetterReason;
  readonly count: number;
}

export interface RedriveOptions {
  /** How many to redrive at most. Default: 1000. */
  limit?: number;
  /** How many a second. Default: 100. */
  rate?: number;
  /** Only tell what would be redriven. Default: `false`. */
  dryRun?: boolean;
  /** Where an earlier redrive stopped. */
  cursor?: string;
}

export interface RedriveResult {
  /** Ids of what was sent back, or would be. */
  readonly redriven: readonly string[];
  /** What stays a dead letter, and why. */
  readonly refused: readonly { readonly id: string; readonly error: EventsError }[];
  /** Pass it to the next call to go on; absent at the end. */
  readonly cursor?: string;
}

export interface DeadLetterServiceParts {
  /** `undefined` where the transport keeps none. */
  readonly store: () => DeadLetterStore | undefined;
  readonly codec: JsonCodec;
  /** How often one event may be redriven. */
  readonly maxRedrives: number;
}

const PAGE = 100;
const DEFAULT_LIMIT = 1000;
const DEFAULT_RATE = 100;

/** Finds the dead letters of the cluster, of all its services, and sends them back to their handlers. */
export class DeadLetterService {
  readonly #parts: DeadLetterServiceParts;

  constructor(parts: DeadLetterServiceParts) {
    this.#parts = parts;
  }

  /** One page, oldest first. `limit`: 1 to 1000, default 100. Other dead letters may come and go between two pages. */
  async list(query: DeadLetterFilter & { limit?: number; cursor?: string } = {}): Promise<DeadLetterPage> {
    const { limit = PAGE, cursor, ...filter } = query;
    assertInteger('limit', limit, 1, 1000);
    const items: DeadLetter[] = [];
    for await (const letter of this.#matching(filter, cursor)) {
      if (items.length === limit) return { items, cursor: (items.at(-1) as DeadLetter).id };
      items.push(letter);
    }
    return { items };
  }

  async get(id: string): Promise<DeadLetter | undefined> {
    const stored = await this.#store.get(assertId(id));
    return stored === undefined ? undefined : deadLetterOf(stored, this.#parts.codec);
  }

  /** All dead letters by service, handler, event and reason, the most frequent first. */
  async count(filter: DeadLetterFilter = {}): Promise<DeadLetterCount[]> {
    const counts = new Map<string, { -readonly [K in keyof DeadLetterCount]: DeadLetterCount[K] }>();
    for await (const { app, subscription, event, reason } of this.#matching(filter, undefined, true)) {
      const key = JSON.stringify([app, subscription, event, reason]);
      const known = counts.get(key);
      if (known === undefined) counts.set(key, { app, subscription, event, reason, count: 1 });
      else known.count++;
    }
    return [...counts.values()].sort((a, b) => b.count - a.count);
  }

  /**
   * Sends dead letters back to the handler that failed, and to no other; a service that is down gets them when it
   * returns. Id, correlation and bytes stay. What fails again is a dead letter again. A crash under way can make an event
   * arrive twice, never get lost.
   * @throws EventsError `no_dead_letter` for an id that is not there; `no_handler`, `redrive_limit` for one that is
   */
  async redrive(which: string | DeadLetterFilter, options: RedriveOptions = {}): Promise<RedriveResult> {
    const { limit = DEFAULT_LIMIT, rate = DEFAULT_RATE, dryRun = false, cursor } = options;
    assertInteger('limit', limit, 1, 1_000_000);
    assertInteger('rate', rate, 1, 100_000);
    if (typeof which === 'string') {
      const letter = await this.#store.get(assertId(which));
      if (letter === undefined) throw missing(which);
      await this.#redrive(letter, dryRun);
      return { redriven: [which], refused: [] };
    }
    // What fails again while this runs is a dead letter with a higher id: it is not taken a second time.
    const end = await this.#store.newest();
    const redriven: string[] = [];
    const refused: { id: string; error: EventsError }[] = [];
    const startedAt = Date.now();
    let last = cursor;
    for await (const letter of this.#matching(which, cursor, true)) {
      if (Number(letter.id) > end) break;
      if (redriven.length + refused.length === limit)
        return { redriven, refused, ...(last === undefined ? {} : { cursor: last }) };
      last = letter.id;
      const ahead = startedAt + (redriven.length * 1000) / rate - Date.now();
      if (ahead > 0 && !dryRun) await new Promise((resolve) => setTimeout(resolve, ahead));
      try {
        const stored = await this.#store.get(letter.id);
        if (stored === undefined) continue; // somebody else was faster
        await this.#redrive(stored, dryRun);
        redriven.push(letter.id);
      } catch (error) {
        if (!(error instanceof EventsError) || !REFUSALS.has(error.code)) throw error;
        refused.push({ id: letter.id, error });
      }
    }
    return { redriven, refused };
  }

  /** Deletes dead letters for good. @returns how many */
  async discard(which: string | DeadLetterFilter): Promise<number> {
    if (typeof which === 'string') return (await this.#store.remove(assertId(which))) ? 1 : 0;
    const end = await this.#store.newest();
    let count = 0;
    for await (const { id } of this.#matching(which, undefined, true)) {
      if (Number(id) > end) break;
      if (await this.#store.remove(id)) count++;
    }
    return count;
  }

  get #store(): DeadLetterStore {
    const store = this.#parts.store();
    if (store !== undefined) return store;
    throw new EventsError('no_dead_letter', 'this transport keeps no dead letters');
  }

  /** First sent and confirmed, then removed: a crash in between leaves both, never none. */
  async #redrive(stored: StoredDeadLetter, dryRun: boolean): Promise<void> {
    const redrives = redrivesOf(stored.headers) + 1;
    if (redrives > this.#parts.maxRedrives) {
      throw new EventsError(
        'redrive_limit',
        `dead letter ${stored.id} was redriven ${redrives - 1} times, \`maxRedrives\` is ${this.#parts.maxRedrives}; ` +
          'mend its handler, raise the limit or discard it',
      );
    }
    if (dryRun) return this.#store.assertRedrivable(stored);
    await this.#store.redrive(stored, redrives);
    await this.#store.remove(stored.id);
  }

  async *#matching(
    filter: DeadLetterFilter,
    after?: string,
    headersOnly = false,
  ): AsyncGenerator<DeadLetter> {
    assertFilter(filter);
    for await (const stored of this.#all(after, headersOnly)) {
      const letter = deadLetterOf(stored, this.#parts.codec);
      if (fits(letter, stored.storedAt, filter)) yield letter;
    }
  }

  async *#all(after: string | undefined, headersOnly: boolean): AsyncGenerator<StoredDeadLetter> {
    let from = after === undefined ? undefined : assertId(after);
    for (;;) {
      const page = await this.#store.scan({ after: from, limit: PAGE, headersOnly });
      yield* page;
      if (page.length < PAGE) return;
      from = page.at(-1)?.id;
    }
  }
}

const REFUSALS: ReadonlySet<string> = new Set(['no_handler', 'redrive_limit']);

const missing = (id: string): EventsError =>
  new EventsError('no_dead_letter', `there is no dead letter '${id}' (any more)`);

function assertId(id: string): string {
  if (/^[1-9]\d{0,15}$/.test(id)) return id;
  throw new EventsError('no_dead_letter', `'${String(id).slice(0, 40)}' is not the id of a dead letter`);
}

function assertInteger(option: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new EventsError(
    'invalid_configuration',
    `\`${option}\` must be an integer from ${min} to ${max}; got ${String(value)}`,
  );
}
