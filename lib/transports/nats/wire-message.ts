import { EventMessage } from '../../core/event-message';
import type { OutboundMessage } from '../../core/transport';
import { encodeEventHeaders, encodeHeaders } from './header-block';

/** One message as it goes on the wire. */
export interface WireMessage {
  readonly subject: string;
  /** Its header block; as text, it is ASCII. */
  readonly header: Uint8Array | string;
  readonly body: Uint8Array | string;
  /** Bytes of the body. */
  readonly bodyLength: number;
}

/** An event as text, which is written once, with what goes out beside it; any other message as it is. */
export function wireMessageOf(subject: string, message: OutboundMessage): WireMessage {
  if (message instanceof EventMessage) {
    const { text: body, bodyLength } = message;
    return { subject, header: encodeEventHeaders(message), body, bodyLength };
  }
  const { headers, messageId, body } = message;
  return { subject, header: encodeHeaders(headers, messageId), body, bodyLength: body.length };
}
