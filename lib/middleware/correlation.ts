import { AsyncLocalStorage } from 'node:async_hooks';
import type { ConsumeContext } from '../core/event-context';
import { ID_RULE, isEventId } from '../core/event-id';
import { headerBytes, isHeaderValue, type EventHeaders } from '../core/headers';
import type { EventsLogger } from '../core/logger';
import { textOf } from '../core/thrown';
import type { InboundEvent } from '../core/inbound-event';
import type { ConsumeStep, EmitReceipt, OutboundEvent, PublishStep, Stage } from '../core/middleware';
import { Origin } from './origin';

const TRACE_HEADERS = ['traceparent', 'tracestate', 'baggage'] as const;

/** Bytes of headers up to which a trace is inherited whole: an emit must not fail by what others put into their baggage. */
const ROOM = 9 * 1024;

export interface CorrelationOptions {
  /** Asked for the correlation id of what is emitted outside of handlers; `undefined` where there is none. */
  readonly supplied?: (() => string | undefined) | undefined;
  readonly logger: EventsLogger;
}

/**
 * What an emit inherits from its surroundings. While an event is handled: its correlation id and its trace headers, and it
 * is named as the cause. Else: the correlation id that the application supplies, and what the request or message on whose
 * behalf it is emitted came with. What the caller of `emit` gives explicitly stands.
 */
export class Correlation implements Stage {
  // One store per service: two applications in one process do not see each other. The innermost cause counts.
  readonly #cause = new AsyncLocalStorage<ConsumeContext | Origin>();
  readonly #options: CorrelationOptions;
  #warned = false;
  #disabled = false;

  constructor(options: CorrelationOptions) {
    this.#options = options;
  }

  /** Runs what came from outside: whatever is emitted below it inherits from `origin`. */
  enter<T>(origin: Origin, run: () => T): T {
    return this.#disabled ? run() : this.#cause.run(origin, run);
  }

  /** Identity of the handler whose code runs, `undefined` outside of handlers. */
  get handling(): string | undefined {
    const cause = this.#cause.getStore();
    return cause === undefined || cause instanceof Origin ? undefined : cause.subscription;
  }

  consume(event: InboundEvent, next: ConsumeStep): unknown {
    return this.#disabled ? next(event) : this.#cause.run(event, next, event);
  }

  /** For when nothing can be emitted any more. Before Node 24, each store in use slows every promise of the process. */
  disable(): void {
    this.#disabled = true;
    this.#cause.disable();
  }

  publish(event: OutboundEvent, next: PublishStep): Promise<EmitReceipt> {
    const cause = this.#cause.getStore();
    if (cause === undefined || cause instanceof Origin) {
      event.correlationId ??= this.#supplied() ?? cause?.correlationId ?? event.id;
    } else {
      event.correlationId ??= cause.correlationId;
      event.causationId ??= cause.id;
    }
    if (cause !== undefined) inherit(event.headers, cause.headers);
    return next(event);
  }

  /** An event must not be lost because of a correlation id: a function that fails has none, and that is said once. */
  #supplied(): string | undefined {
    const { supplied } = this.#options;
    if (supplied === undefined) return undefined;
    try {
      const id: unknown = supplied();
      if (id == null || isEventId(id)) return id ?? undefined;
      this.#warn(
        `gave ${typeof id === 'string' ? 'text' : `a value of type ${typeof id}`} that is not ${ID_RULE}`,
      );
    } catch (error) {
      this.#warn(`threw ${textOf(error)}`);
    }
    return undefined;
  }

  #warn(what: string): void {
    if (this.#warned) return;
    this.#warned = true;
    this.#options.logger.warn(
      `the function of the option \`correlationId\` ${what}; events are emitted as if it had given none (said once)`,
    );
  }
}

/** What is inherited comes from the wire, and no emit may fail by it. */
function inherit(headers: Record<string, string>, inherited: EventHeaders): void {
  for (const key of TRACE_HEADERS) {
    const value = inherited[key];
    if (value === undefined || headers[key] !== undefined || !isHeaderValue(value)) continue;
    if (headerBytes(headers) + headerBytes({ [key]: value }) <= ROOM) headers[key] = value;
  }
}
