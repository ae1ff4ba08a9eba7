import { emptyHeaders, foldKey, type EventHeaders } from '../../core/headers';
import { eventSubject } from '../../core/names';
import type { OutboundMessage } from '../../core/transport';

/** A message as the broker holds it. */
export interface BrokerMessage {
  readonly subject: string;
  readonly name: string;
  readonly headers: EventHeaders;
  readonly body: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly storedAt: number;
  /** Headers and body, as they would go on the wire. */
  readonly bytes: number;
}

/** The message as a subscriber of a real server would read it: keys folded, values trimmed. The body is not copied. */
export function toBrokerMessage(clusterId: string, message: OutboundMessage, now: number): BrokerMessage {
  const headers = emptyHeaders();
  for (const [key, value] of Object.entries(message.headers)) headers[foldKey(key)] = value.trim();
  return {
    subject: eventSubject(clusterId, message.name),
    name: message.name,
    headers: Object.freeze(headers),
    body: message.body,
    storedAt: now,
    bytes: wireBytes({ ...message.headers, 'Nats-Msg-Id': message.messageId }, message.body),
  };
}

/** Bytes of a message with a NATS header block: what a server compares with `max_payload`. */
export function wireBytes(headers: EventHeaders, body: Uint8Array): number {
  let bytes = 'NATS/1.0\r\n'.length + '\r\n'.length + body.byteLength;
  for (const [key, value] of Object.entries(headers)) bytes += Buffer.byteLength(`${key}: ${value}\r\n`);
  return bytes;
}
