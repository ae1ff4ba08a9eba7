import { randomUUID } from 'node:crypto';
import { EventsError } from '../../core/errors';
import type { NatsLink } from './connection';
import { encodeHeaders } from './header-block';
import type { StreamPublisher, WireMessage } from './publisher';
import type { OutboundMessage, PublishReceipt } from '../../core/transport';

/** The server stores no more in one batch. */
const MAX_BATCH = 1000;
/** Server error: one of the messages is stored already, so that nothing of the batch was. */
const DUPLICATE_IN_BATCH = 10201;

/** Bytes that belonging to a batch takes in the headers of each, at most. */
export const BATCH_HEADERS = 128;

/** @throws EventsError `batch_unsupported` */
export function assertBatch(messages: readonly OutboundMessage[], possible: boolean): void {
  if (!possible) {
    throw new EventsError(
      'batch_unsupported',
      'events cannot be stored together here: it takes `durable` delivery, nats-server 2.12 and a stream with `allow_atomic`',
    );
  }
  if (messages.length <= MAX_BATCH) return;
  throw new EventsError(
    'batch_unsupported',
    `${messages.length} events cannot be stored together, ${MAX_BATCH} can: emit them in several batches`,
  );
}

/** From 2.12 on. */
export function supportsBatches({ nc }: NatsLink): boolean {
  const [major = 0, minor = 0] = (nc.info?.version ?? '').split('.').map(Number);
  return major > 2 || (major === 2 && minor >= 12);
}

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
  const encode = (id: string): WireMessage[] =>
    messages.map(({ name, headers, messageId, body }, index) => {
      const batch: Record<string, string> = {
        'Nats-Batch-Id': id,
        'Nats-Batch-Sequence': String(index + 1),
        ...(index === last && { 'Nats-Batch-Commit': '1' }),
      };
      return { subject: subject(name), header: encodeHeaders({ ...headers, ...batch }, messageId), body };
    });
  try {
    const { name, body } = messages[last] as OutboundMessage;
    const ack = await publisher.publish({
      subject: subject(name),
      header: Buffer.alloc(0),
      body,
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
