import { CE, encodeAttribute } from './cloudevents';
import { checkHeaderBytes, emptyHeaders, headerBytes, type EventHeaders } from './headers';
import type { EncodedData } from './json-codec';
import type { OutboundEvent } from './middleware';
import type { OutboundMessage } from './transport';

/** Bytes of what is in every block besides the values: keys, separators, version and content type. */
const FIXED_BYTES = 134;
const CAUSATION_BYTES = `${CE.causationId}: \r\n`.length;
const DATE_PATHS_BYTES = `${CE.datePaths}: \r\n`.length;

/**
 * An event as it goes on the wire, its attributes encoded. A transport that writes them itself need not have them made
 * into a record of headers first.
 */
export class EventMessage implements OutboundMessage {
  readonly name: string;
  readonly id: string;
  readonly time: string;
  readonly correlationId: string;
  readonly causationId: string | undefined;
  readonly datePaths: string | undefined;
  /** The body as text, and how many bytes it has. */
  readonly text: string;
  readonly bodyLength: number;
  /** What its headers take on the wire, the message id among them. */
  readonly headerBytes: number;
  timeLeft: number | undefined = undefined;
  #body: Uint8Array | undefined = undefined;
  #headers: EventHeaders | undefined = undefined;

  /**
   * @param source of the event, encoded: the same for all events of a service
   * @param own the user's headers, checked; `undefined` if there are none
   * @param time of the event, as ISO 8601
   * @throws EventsError `invalid_header` if the headers are too long together
   */
  constructor(
    event: OutboundEvent,
    readonly source: string,
    readonly own: EventHeaders | undefined,
    encoded: EncodedData,
    time: string,
  ) {
    const { name, id, correlationId = id, causationId } = event;
    this.name = name;
    this.id = encodeAttribute(id);
    this.time = time;
    this.correlationId = correlationId === id ? this.id : encodeAttribute(correlationId);
    this.causationId = causationId === undefined ? undefined : encodeAttribute(causationId);
    this.datePaths = encoded.datePaths === undefined ? undefined : encodeAttribute(encoded.datePaths);
    this.text = encoded.text;
    this.bodyLength = encoded.length;
    // The message id has name, source and id once more.
    let bytes =
      FIXED_BYTES +
      2 * (name.length + source.length + this.id.length) +
      time.length +
      this.correlationId.length;
    if (this.causationId !== undefined) bytes += CAUSATION_BYTES + this.causationId.length;
    if (this.datePaths !== undefined) bytes += DATE_PATHS_BYTES + this.datePaths.length;
    if (own !== undefined) bytes += headerBytes(own);
    checkHeaderBytes(bytes);
    this.headerBytes = bytes;
  }

  get body(): Uint8Array {
    return (this.#body ??= Buffer.from(this.text, 'utf8'));
  }

  /**
   * `Nats-Msg-Id`. The server compares it over the whole stream, so the bare id would swallow another event that happens
   * to have the same one.
   */
  get messageId(): string {
    return `${this.name}:${this.source}:${this.id}`;
  }

  /** The user's headers, then the attributes. */
  get headers(): EventHeaders {
    if (this.#headers !== undefined) return this.#headers;
    const headers = emptyHeaders();
    for (const key in this.own) headers[key] = this.own[key] as string;
    headers[CE.specversion] = '1.0';
    headers[CE.id] = this.id;
    headers[CE.source] = this.source;
    headers[CE.type] = this.name;
    headers[CE.time] = this.time;
    headers[CE.correlationId] = this.correlationId;
    if (this.causationId !== undefined) headers[CE.causationId] = this.causationId;
    if (this.datePaths !== undefined) headers[CE.datePaths] = this.datePaths;
    headers['content-type'] = 'application/json';
    return (this.#headers = headers);
  }
}
