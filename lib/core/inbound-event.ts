import { AsyncResource } from 'node:async_hooks';
import { CE, decodeAttribute } from './cloudevents';
import type { ConsumeContext } from './event-context';
import { receivedId } from './event-id';
import { emptyHeaders, isReserved, type EventHeaders } from './headers';
import { parseIsoTime } from './iso-time';
import { isStructured, readStructured, type StructuredEvent } from './structured-event';
import type { Delivery } from './transport';

/** A delivery on its way through the pipeline. Attributes are read from the headers when somebody asks. */
export class InboundEvent implements ConsumeContext {
  data: unknown = undefined;
  /** Its body has integers that a number would round; they are texts in `data`. */
  inexact = false;
  #id: string | undefined;
  #structured: StructuredEvent | undefined;
  #headers: EventHeaders | undefined;
  #abort: AbortController | undefined;
  #scope: AsyncResource | undefined;

  constructor(
    readonly delivery: Delivery,
    readonly subscription: string,
    /** Milliseconds this attempt may take. */
    readonly timeout: number,
  ) {}

  /** Attributes and data, if both are in the body. */
  get structured(): StructuredEvent | undefined {
    const { headers, text, body } = this.delivery;
    if (!isStructured(headers['content-type'])) return undefined;
    return (this.#structured ??= readStructured(headers, text ?? body));
  }

  get #attributes(): EventHeaders {
    return this.structured?.headers ?? this.delivery.headers;
  }

  get id(): string {
    return (this.#id ??= receivedId(this.#attributes[CE.id]) ?? this.delivery.fallbackId);
  }

  get name(): string {
    return this.delivery.name;
  }

  get source(): string {
    return receivedId(this.#attributes[CE.source]) ?? 'unknown';
  }

  get time(): Date {
    const text = this.#attributes[CE.time] ?? '';
    const time = new Date(parseIsoTime(text) ?? decodeAttribute(text));
    return Number.isNaN(time.getTime()) ? new Date(this.delivery.storedAt) : time;
  }

  get correlationId(): string {
    const headers = this.#attributes;
    const correlationId = headers[CE.correlationId];
    // So it is where one event begins what others follow from.
    if (correlationId === this.id) return correlationId;
    return receivedId(correlationId) ?? receivedId(headers['x-correlation-id']) ?? this.id;
  }

  get causationId(): string | undefined {
    return receivedId(this.#attributes[CE.causationId]);
  }

  get attempt(): number {
    return this.delivery.attempt;
  }

  get headers(): EventHeaders {
    if (this.#headers === undefined) {
      const own = emptyHeaders();
      for (const [key, value] of Object.entries(this.delivery.headers))
        if (!isReserved(key)) own[key] = value;
      this.#headers = Object.freeze(own);
    }
    return this.#headers;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      // The timer that aborts it may be another event's: what listens runs where it was asked for. A bare resource:
      // `AsyncLocalStorage.snapshot()` takes 15 µs on Node 20, a hundred times as long.
      this.#scope = new AsyncResource('EventSignal');
    }
    return this.#abort.signal;
  }

  /** Tells the handler, if it looks at `signal`, that nobody waits for it any more. */
  abort(reason: unknown): void {
    const abort = (this.#abort ??= new AbortController());
    if (this.#scope === undefined) abort.abort(reason);
    else this.#scope.runInAsyncScope(() => abort.abort(reason));
  }
}
