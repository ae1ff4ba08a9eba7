import type { EncodedData } from './json-codec';
import { emptyHeaders, type EventHeaders } from './headers';
import type { OutboundEvent } from './middleware';

/**
 * CloudEvents 1.0 attributes as headers: NATS protocol binding 1.0, binary mode.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md
 */
export const CE = {
  specversion: 'ce-specversion',
  id: 'ce-id',
  source: 'ce-source',
  type: 'ce-type',
  time: 'ce-time',
  correlationId: 'ce-correlationid',
  causationId: 'ce-causationid',
  datePaths: 'ce-datepaths',
} as const;

// Space, double quote, percent, and all outside printable ASCII (section 3.2.3 of the binding, after the HTTP one).
const UNSAFE = /[^\x21\x23\x24\x26-\x7e]/;
const UNSAFE_RUN = /[^\x21\x23\x24\x26-\x7e]+/g;

export function encodeAttribute(value: string): string {
  if (!UNSAFE.test(value)) return value;
  return value.replace(UNSAFE_RUN, (run) =>
    [...Buffer.from(run, 'utf8')]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}

/** Quoted strings of older senders are unquoted first (section 3.1.3.2 of the HTTP binding). */
export function decodeAttribute(value: string): string {
  const quoted = value.length > 1 && value.startsWith('"') && value.endsWith('"');
  const text = quoted ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value;
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // another sender's literal percent sign
  }
}

/**
 * The headers of an event as it goes on the wire: the user's, then the attributes.
 * @param own the user's, checked
 * @param time of the event, as ISO 8601
 */
export function toWireHeaders(
  event: Omit<OutboundEvent, 'headers'>,
  own: EventHeaders,
  encoded: EncodedData,
  time: string,
): EventHeaders {
  const headers = emptyHeaders();
  for (const key in own) headers[key] = own[key] as string;
  headers[CE.specversion] = '1.0';
  headers[CE.id] = encodeAttribute(event.id);
  headers[CE.source] = encodeAttribute(event.source);
  headers[CE.type] = event.name;
  headers[CE.time] = time;
  const { correlationId = event.id } = event;
  headers[CE.correlationId] =
    correlationId === event.id ? (headers[CE.id] as string) : encodeAttribute(correlationId);
  if (event.causationId !== undefined) headers[CE.causationId] = encodeAttribute(event.causationId);
  if (encoded.datePaths !== undefined) headers[CE.datePaths] = encodeAttribute(encoded.datePaths);
  headers['content-type'] = 'application/json';
  return headers;
}

/**
 * `Nats-Msg-Id` of an event. The server compares it over the whole stream, so the bare id would swallow another event
 * that happens to have the same one.
 */
export const messageIdOf = (name: string, wire: EventHeaders): string =>
  `${name}:${wire[CE.source]}:${wire[CE.id]}`;
