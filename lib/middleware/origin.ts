import { isEventId } from '../core/event-id';
import { emptyHeaders, type EventHeaders } from '../core/headers';

/** What a request or message from outside says of where it belongs: events emitted on its behalf inherit it. */
export class Origin {
  constructor(
    readonly correlationId: string | undefined,
    /** `traceparent`, `tracestate` and `baggage`, those that there are. */
    readonly headers: EventHeaders,
  ) {}
}

// W3C Trace Context, version 00 and those after it that look alike; ids of zeros only are none.
const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})[\da-f]{16}-[\da-f]{2}$/;
const PRINTABLE_ASCII = /^[\x20-\x7e]+$/;
const MAX_TRACESTATE = 512;
const MAX_BAGGAGE = 8192;

/**
 * Reads the five headers that are understood. They come from strangers: what is not valid counts as absent, since no
 * emit may fail by it.
 * @param header gives the value of a header by its lower-case key; what is not text counts as absent
 */
export function readOrigin(header: (key: string) => unknown): Origin {
  const text = (key: string): string | undefined => {
    const value = header(key);
    return typeof value === 'string' ? value.trim() : undefined;
  };
  const id = (key: string): string | undefined => {
    const value = text(key);
    return isEventId(value) ? value : undefined;
  };
  const ascii = (key: string, max: number): string | undefined => {
    const value = text(key);
    return value !== undefined && value.length <= max && PRINTABLE_ASCII.test(value) ? value : undefined;
  };

  const headers = emptyHeaders();
  const trace = TRACEPARENT.exec(text('traceparent') ?? '');
  if (trace !== null) {
    headers['traceparent'] = trace[0];
    // Without its parent, the state of a trace belongs to none.
    const tracestate = ascii('tracestate', MAX_TRACESTATE);
    if (tracestate !== undefined) headers['tracestate'] = tracestate;
  }
  const baggage = ascii('baggage', MAX_BAGGAGE);
  if (baggage !== undefined) headers['baggage'] = baggage;
  return new Origin(id('x-correlation-id') ?? id('x-request-id') ?? trace?.[1], headers);
}
