import type { EventContext, EventHandler } from '../../lib/core/event-map';
import type { EventService } from '../../lib/core/event-service';
import type { EmitReceipt } from '../../lib/core/middleware';

/** Milliseconds after which what has not happened is taken to never happen. Far above what anything here takes. */
const PATIENCE = 60_000;
const POLL = 20;
const MAX_IN_FLIGHT = 500;

/** Resolves to the first value of `read` that is neither `undefined` nor `false`. @throws Error after a minute */
export async function eventually<T>(
  what: string,
  read: () => T | undefined | false | Promise<T | undefined | false>,
  patience = PATIENCE,
): Promise<T> {
  const deadline = Date.now() + patience;
  for (;;) {
    const value = await read();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`waited ${patience} ms for this, in vain: ${what}`);
    await sleep(POLL);
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface Load {
  /** Resolves when the outcome of each emit is known. */
  stop(): Promise<void>;
}

/** Who was told what: the events that were acknowledged, those that were refused, and those that handlers ran. */
export class Ledger {
  readonly acknowledged = new Map<string, EmitReceipt>();
  readonly refused = new Map<string, unknown>();
  /** The context of every attempt, by event id. */
  readonly runs = new Map<string, EventContext[]>();
  readonly handled = new Set<string>();

  /** Writes down each attempt, and that the event is handled unless `work` throws. */
  handler(work: (data: unknown, context: EventContext) => unknown = () => undefined): EventHandler {
    return async (data: unknown, context: EventContext) => {
      const runs = this.runs.get(context.id) ?? [];
      this.runs.set(context.id, runs);
      runs.push(context);
      await work(data, context);
      this.handled.add(context.id);
    };
  }

  /** Emits one event and writes down what the service says of it. Never rejects. */
  async emit(service: EventService, name: string, id: string): Promise<void> {
    try {
      this.acknowledged.set(id, await service.emit(name, { id }, { id }));
    } catch (error) {
      this.refused.set(id, error);
    }
  }

  /** Emits an event every `every` milliseconds, not waiting for the one before. */
  load(service: EventService, name: string, every: number, prefix = name): Load {
    const emits = new Set<Promise<void>>();
    let count = 0;
    const timer = setInterval(() => {
      if (emits.size >= MAX_IN_FLIGHT) return;
      const emit = this.emit(service, name, `${prefix}-${++count}`).finally(() => emits.delete(emit));
      emits.add(emit);
    }, every);
    return {
      stop: async () => {
        clearInterval(timer);
        await Promise.all(emits);
      },
    };
  }

  /** Ids that were acknowledged, and neither handled nor among these. */
  lost(deadLetters: Iterable<string> = []): string[] {
    const dead = new Set(deadLetters);
    return [...this.acknowledged.keys()].filter((id) => !this.handled.has(id) && !dead.has(id));
  }

  /** Attempts beyond the first, of all events. */
  get reruns(): number {
    return [...this.runs.values()].reduce((sum, { length }) => sum + length - 1, 0);
  }
}
