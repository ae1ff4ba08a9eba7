import { EventMessage } from '../../core/event-message';
import type { Subject } from '../../core/subject';
import type { OutboundMessage } from '../../core/transport';
import { encodeEventHeaders, encodeHeaders, FRAME_OF_BLOCK } from './header-block';

/** One message as it goes on the wire. */
export interface WireMessage {
  readonly subject: Subject;
  /** Its header block; as text, it is ASCII. */
  readonly header: Uint8Array | string;
  readonly body: Uint8Array | string;
  /** Bytes of the body. */
  readonly bodyLength: number;
}

/** An event as text, which is written once, with what goes out beside it; any other message as it is. */
export function wireMessageOf(subject: Subject, message: OutboundMessage): WireMessage {
  if (message instanceof EventMessage) return new EventOnWire(subject, message);
  const { headers, messageId, body } = message;
  return { subject, header: encodeHeaders(headers, messageId), body, bodyLength: body.length };
}

/** Bytes of header and body. */
export const lengthOf = (message: WireMessage): number =>
  message instanceof EventOnWire ? message.length : message.header.length + message.bodyLength;

/** Its header block is made when it is sent: the pieces of it would be kept until the event is confirmed. */
class EventOnWire implements WireMessage {
  constructor(
    readonly subject: Subject,
    private readonly event: EventMessage,
  ) {}

  get header(): Uint8Array | string {
    return encodeEventHeaders(this.event);
  }

  get length(): number {
    return this.event.headerBytes + FRAME_OF_BLOCK + this.event.bodyLength;
  }

  get body(): string {
    return this.event.text;
  }

  get bodyLength(): number {
    return this.event.bodyLength;
  }
}
