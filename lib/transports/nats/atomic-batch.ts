import { randomUUID } from 'node:crypto';
import type { PublishReceipt } from '../../core/transport';
import { EventsError } from '../../core/errors';
import { encodeHeaders } from './header-block';
import type { StreamPublisher, WireMessage } from './publisher';
import type { OutboundMessage } from '../../core/transport';

/** The server stores no more in one batch. */
export const MAX_BATCH = 1000;
/** Server error: one of the messages is stored already, so that nothing of the batch was. */
const DUPLICATE_IN_BATCH = 10201;

export interface BatchTarget {
  readonly stream: string;
  readonly subject: (name: string) => string;
  /** Milliseconds in which it must be confirmed. */
  readonly timeout: number;
}

/**
 * Publishes messages that are stored together or not at all (nats-server 2.12, ADR-50). A try whose outcome is unknown is
 * repeated under a new batch id with the same message ids: if the first was stored, the server refuses the second as a
 * duplicate, which is then the confirmation.
 *
 * @throws EventsError as `StreamPublisher#publish`; `publish_rejected` if one of the events was stored before
 */
export async function publishAtomically(
  publisher: StreamPublisher,
  messages: readonly OutboundMessage[],
  { stream, subject, timeout }: BatchTarget,
): Promise<PublishReceipt[]> {
  const last = messages.length - 1;
  const encode = (id: string) =>
    messages.map(({ name, headers, messageId, body }, index): WireMessage => {
      const all = Object.assign(Object.create(null) as Record<string, string>, headers, {
        'Nats-Batch-Id': id,
        'Nats-Batch-Sequence': String(index + 1),
      });
      if (index === last) all['Nats-Batch-Commit'] = '1';
      return { subject: subject(name), header: encodeHeaders(all, messageId), body };
    });
  try {
    const commit = encode(randomUUID())[last] as WireMessage;
    const ack = await publisher.publish({
      ...commit,
      stream,
      timeout,
      batch: () => {
        const encoded = encode(randomUUID());
        return { before: encoded.slice(0, last), header: (encoded[last] as WireMessage).header };
      },
    });
    return messages.map((_, index) => ({ duplicate: false, stream, sequence: ack.sequence - last + index }));
  } catch (error) {
    if (!(error instanceof EventsError) || error.serverCode !== DUPLICATE_IN_BATCH) throw error;
    // After a try without an answer, the duplicates are our own: it was stored.
    if (error.code === 'publish_unconfirmed') return messages.map(() => ({ duplicate: false, stream }));
    throw new EventsError(
      'publish_rejected',
      'one of the events has the id of an event that is stored already: nothing of the batch was stored',
      { cause: error, serverCode: DUPLICATE_IN_BATCH },
    );
  }
}
