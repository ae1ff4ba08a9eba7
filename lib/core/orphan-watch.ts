import type { Orphan } from './dead-letter-store';
import type { EventsLogger } from './logger';

/** Milliseconds between two looks. */
const INTERVAL = 3 * 60 * 1000;

export interface OrphanWatchParts {
  /** Durables of this service that no subscription claims. */
  readonly find: () => Promise<readonly Orphan[]>;
  /** Names of the handlers that are bound at this moment. */
  readonly handlers: () => ReadonlySet<string>;
  readonly logger: EventsLogger;
  /** Runs `task` once after `ms`; the returned function cancels it. Default: a timer that keeps no process alive. */
  readonly after?: (ms: number, task: () => void) => () => void;
}

/**
 * Looks for durables of the service that no handler claims, at the start and every few minutes: during a rolling deployment
 * an older instance still uses what it leaves behind. Each is logged once, and a problem as long as it is there.
 */
export class OrphanWatch {
  readonly #parts: OrphanWatchParts;
  readonly #told = new Set<string>();
  #found: readonly Orphan[] = [];
  #handlersThen: ReadonlySet<string> = new Set();
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(parts: OrphanWatchParts) {
    this.#parts = parts;
  }

  /** One sentence for each. */
  get problems(): string[] {
    if (this.#found.length === 0) return [];
    const now = this.#parts.handlers();
    return this.#found
      .filter(({ handler }) => this.#handlersThen.has(handler) || !now.has(handler)) // not one that was bound since
      .map((orphan) => sentenceOf(orphan, now));
  }

  /** Looks now and again later. Never rejects. */
  async begin(): Promise<void> {
    this.#cancel?.();
    await this.#look();
    if (this.#stopped) return;
    this.#cancel = (this.#parts.after ?? later)(INTERVAL, () => void this.begin());
  }

  stop(): void {
    this.#stopped = true;
    this.#found = [];
    this.#cancel?.();
  }

  async #look(): Promise<void> {
    const { find, handlers, logger } = this.#parts;
    try {
      const found = await find();
      if (this.#stopped) return;
      this.#found = found;
      this.#handlersThen = new Set(handlers());
      for (const orphan of found) {
        if (this.#told.has(orphan.durable)) continue;
        this.#told.add(orphan.durable);
        logger.warn(`${sentenceOf(orphan, this.#handlersThen)}, unless a module that is loaded later has it`);
      }
    } catch (error) {
      // Closed before there was an answer: nobody is waiting for one.
      if (this.#stopped) return;
      logger.warn(`could not look for durables without a handler: ${(error as Error).message}`);
    }
  }
}

function sentenceOf(
  { durable, stream, handler, backlog, patterns = [] }: Orphan,
  handlers: ReadonlySet<string>,
): string {
  const remove = `remove it with \`nats consumer rm ${stream} ${durable}\``;
  if (handlers.has(handler)) {
    const taken = patterns.length === 0 ? 'events' : patterns.map((pattern) => `'${pattern}'`).join(', ');
    return (
      `durable '${durable}' of this service takes ${taken} for '${handler}', which takes its events elsewhere now (its patterns, ` +
      `\`delivery\` or \`broadcast\` changed), ${backlog} events wait in it: they are handled when the handler has its earlier ` +
      `patterns and options again, for instance beside the new ones in a handler with this \`name\`; or ${remove}`
    );
  }
  return (
    `durable '${durable}' of this service has no handler '${handler}' any more, ${backlog} events wait for it: ` +
    `give the handler its \`name\` back, or ${remove}`
  );
}

const later = (ms: number, task: () => void): (() => void) => {
  const timer = setTimeout(task, ms);
  timer.unref();
  return () => clearTimeout(timer);
};
