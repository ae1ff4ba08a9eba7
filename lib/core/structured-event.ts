import { encodeAttribute } from './cloudevents';
import { EventsError } from './errors';
import { emptyHeaders, type EventHeaders } from './headers';
import { bytesOf, type InexactSink, parseJson, utf8Of } from './json-codec';

/**
 * CloudEvents in structured mode: attributes and data in the body, told by the content type.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
 */
const CLOUD_EVENTS = /^\s*application\/cloudevents(-batch)?(?:\+([\w.+-]+))?\s*(?:;|$)/i;
/** Data of these types is text, not JSON. */
const TEXT = /^\s*text\/(?!(?:[\w.-]+\+)?json\b)/i;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
/** What our own events have: nothing more is to be looked at. */
const JSON_TYPE = 'application/json';

/** @param contentType of a message */
export const isStructured = (contentType: string | undefined): contentType is string =>
  contentType !== undefined && contentType !== JSON_TYPE && CLOUD_EVENTS.test(contentType);

/** An event in structured mode, as it would be in binary mode. */
export interface StructuredEvent {
  /** Those of the message, and its attributes. */
  readonly headers: EventHeaders;
  readonly data: unknown;
  readonly inexact: boolean;
  /** Why it cannot be read. */
  readonly error?: EventsError;
}

/** Never throws. */
export function readStructured(headers: EventHeaders, body: Uint8Array | string): StructuredEvent {
  try {
    const [, batch, format = ''] = CLOUD_EVENTS.exec(headers['content-type'] ?? '') ?? [];
    if (batch !== undefined) refuse('it is a batch of CloudEvents: publish each as a message of its own');
    if (format.toLowerCase() !== 'json')
      refuse(`it is a CloudEvent in another format than JSON: publish it as JSON`);
    const sink: InexactSink = { inexact: false };
    const envelope = parseJson(body, sink);
    if (!isEnvelope(envelope)) refuse('it is no CloudEvent: it has no `specversion`');
    const attributes = attributesOf(envelope, headers);
    return { headers: attributes, data: dataOf(envelope, sink), inexact: sink.inexact };
  } catch (error) {
    if (!(error instanceof EventsError)) throw error;
    return { headers, data: undefined, inexact: false, error };
  }
}

function refuse(why: string): never {
  throw new EventsError('undecodable', why);
}

type Envelope = Readonly<Record<string, unknown>>;

const isEnvelope = (value: unknown): value is Envelope =>
  typeof value === 'object' && value !== null && typeof (value as Envelope)['specversion'] === 'string';

function attributesOf(envelope: Envelope, headers: EventHeaders): EventHeaders {
  const attributes = emptyHeaders();
  for (const key in headers) if (!key.startsWith('ce-')) attributes[key] = headers[key] as string;
  for (const [name, value] of Object.entries(envelope)) {
    if (name === 'data' || !/^[a-z0-9]+$/.test(name)) continue;
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      attributes[`ce-${name}`] = encodeAttribute(String(value));
  }
  return attributes;
}

function dataOf(envelope: Envelope, sink: InexactSink): unknown {
  const { data, data_base64: base64, datacontenttype: type } = envelope;
  if (base64 === undefined) return data ?? null;
  if (typeof base64 !== 'string' || base64.length % 4 !== 0 || !BASE64.test(base64))
    refuse('its `data_base64` is not base64');
  return bodyOf(Buffer.from(base64, 'base64'), typeof type === 'string' ? type : undefined, sink);
}

/** The data in a body of this type. @throws EventsError `undecodable` */
export function bodyOf(body: Uint8Array | string, type: string | undefined, sink?: InexactSink): unknown {
  if (type === undefined || type === JSON_TYPE || !TEXT.test(type)) return parseJson(body, sink);
  if (body.length === 0) refuse('the body is empty');
  return typeof body === 'string' ? body : utf8Of(bytesOf(body));
}
