import { flag, integer, text } from './checks';
import { redrivesOf } from './dead-letter';
import { assertFilter, fits, type DeadLetterFilter } from './dead-letter-filter';
import { deadLetterOf, type DeadLetter } from './dead-letter-reading';
import type { DeadLetterStore, StoredDeadLetter } from './dead-letter-store';
import { EventsError } from './errors';
import type { JsonCodec } from './json-codec';
import { NO_ENVIRONMENT, readSettings, valuesOf, type Check } from './settings';
import { textOf } from './thrown';
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

const REDRIVE_CHECKS = {
  limit: integer(1, 1_000_000),
  rate: integer(1, 100_000),
  dryRun: flag,
  cursor: text,
} satisfies Record<keyof RedriveOptions, Check<unknown>>;

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
    assertFilter(filter);
    const ids: string[] = [];
    // Letters that follow on one another are read at once.
    const runs: string[][] = [];
    let isRun = false;
    let cursorOfNext: string | undefined;
    const page = Object.keys(filter).length === 0 ? Math.min(PAGE, limit + 1) : PAGE;
    for await (const stored of this.#all(cursor, true, page)) {
      const isMatch = fits(deadLetterOf(stored, this.#parts.codec), stored.storedAt, filter);
      if (isMatch && ids.length === limit) {
        cursorOfNext = ids.at(-1);
        break;
      }
      if (isMatch) {
        ids.push(stored.id);
        if (isRun) runs.at(-1)?.push(stored.id);
        else runs.push([stored.id]);
      }
      isRun = isMatch;
    }
    const items: DeadLetter[] = [];
    for (const run of runs) items.push(...(await this.#withBodies(run)));
    return { items, ...(cursorOfNext === undefined ? {} : { cursor: cursorOfNext }) };
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
   *
   * With a filter, a dead letter that cannot be sent stands in `refused` with its error, and the others go. After three in a
   * row that the broker did not answer for, the result ends there, with a cursor.
   * @throws EventsError for an id: `no_dead_letter`, `no_handler`, `redrive_limit`, and as `emit` where it cannot be sent
   */
  async redrive(which: string | DeadLetterFilter, options: RedriveOptions = {}): Promise<RedriveResult> {
    const {
      limit = DEFAULT_LIMIT,
      rate = DEFAULT_RATE,
      dryRun = false,
      cursor,
    } = valuesOf(readSettings('', options, NO_ENVIRONMENT, REDRIVE_CHECKS));
    if (typeof which !== 'string') assertFilter(which);
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
    const startedAt = performance.now();
    let last = cursor;
    let failures = 0;
    for await (const letter of this.#matching(which, cursor, true)) {
      if (Number(letter.id) > end) break;
      if (redriven.length + refused.length === limit)
        return { redriven, refused, ...(last === undefined ? {} : { cursor: last }) };
      last = letter.id;
      const ahead = startedAt + (redriven.length * 1000) / rate - performance.now();
      if (ahead > 0 && !dryRun) await new Promise((resolve) => setTimeout(resolve, ahead));
      try {
        const stored = await this.#store.get(letter.id);
        if (stored === undefined) continue; // somebody else was faster
        await this.#redrive(stored, dryRun);
        redriven.push(letter.id);
        failures = 0;
      } catch (cause) {
        const error = asEventsError(cause);
        if (error.code === 'closed') throw error;
        refused.push({ id: letter.id, error });
        // One that cannot be sent does not stop the others; where none can be sent, each would wait for its time limit.
        failures = OUTAGES.has(error.code) ? failures + 1 : 0;
        if (failures === MAX_FAILURES) return { redriven, refused, cursor: letter.id };
      }
    }
    return { redriven, refused };
  }

  /** Deletes dead letters for good. @returns how many */
  async discard(which: string | DeadLetterFilter): Promise<number> {
    if (typeof which !== 'string') assertFilter(which);
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
    for await (const stored of this.#all(after, headersOnly, PAGE)) {
      const letter = deadLetterOf(stored, this.#parts.codec);
      if (fits(letter, stored.storedAt, filter)) yield letter;
    }
  }

  async *#all(
    after: string | undefined,
    headersOnly: boolean,
    limit: number,
  ): AsyncGenerator<StoredDeadLetter> {
    let from = after === undefined ? undefined : assertId(after);
    for (;;) {
      const page = await this.#store.scan({ after: from, limit, headersOnly });
      yield* page;
      if (page.length < limit) return;
      from = page.at(-1)?.id;
    }
  }

  /** Dead letters that follow on one another; what somebody has taken meanwhile is left out. */
  async #withBodies(ids: readonly string[]): Promise<DeadLetter[]> {
    const wanted = new Set(ids);
    const before = Number(ids[0]) - 1;
    const after = before === 0 ? undefined : String(before);
    const stored = await this.#store.scan({ after, limit: ids.length });
    return stored.filter(({ id }) => wanted.has(id)).map((each) => deadLetterOf(each, this.#parts.codec));
  }
}

/** The broker did not answer, or nothing at it takes what is sent: the next dead letter is likely to fare no better. */
const OUTAGES: ReadonlySet<string> = new Set([
  'publish_unconfirmed',
  'jetstream_unavailable',
  'no_stream',
  'disconnected',
]);
const MAX_FAILURES = 3;

const asEventsError = (error: unknown): EventsError =>
  error instanceof EventsError
    ? error
    : new EventsError('publish_rejected', `it cannot be sent: ${textOf(error)}`, { cause: error });

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
