import { createHash, randomUUID } from 'node:crypto';
import type { JetStreamManager } from 'nats';
import { EventsError } from '../../core/errors';
import { apiErrorCode } from './api';
import type { NatsLink } from './connection';
import { encodeHeaders } from './header-block';
import type { StreamPublisher } from './publisher';
import type { WireMessage } from './wire-message';
import type { Subject } from '../../core/subject';
import type { OutboundMessage, PublishReceipt } from '../../core/transport';

/** The server stores no more in one batch. */
const MAX_BATCH = 1000;
/** Server error: one of the messages is stored already, so that nothing of the batch was. */
const DUPLICATE_IN_BATCH = 10201;
/** Server error: the last message of the stream has another id than the expected one. */
const WRONG_LAST_MESSAGE_ID = 10070;
const MESSAGE_NOT_FOUND = 10037;
/** Milliseconds in which a stored batch must be found. */
const FIND_TIMEOUT = 5000;

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
  readonly subject: (name: string) => Subject;
  /** Milliseconds in which it must be confirmed. */
  readonly timeout: number;
}

/**
 * Publishes messages that are stored together or not at all (nats-server 2.12, ADR-50).
 *
 * A try whose outcome is unknown is repeated with the same message ids. If the first one was stored, the server refuses the
 * second for its duplicates; but it does so, too, if one event alone was stored before. What tells them apart is the id of
 * the batch, made of those of its messages, which the stream keeps with each.
 *
 * @throws EventsError as `StreamPublisher#publish`; `publish_rejected` if one of the events was stored before
 */
export async function publishAtomically(
  publisher: StreamPublisher,
  jsm: JetStreamManager,
  messages: readonly OutboundMessage[],
  { stream, subject, timeout }: BatchTarget,
): Promise<PublishReceipt[]> {
  const last = messages.length - 1;
  const { name, body } = messages[last] as OutboundMessage;
  const batchId = batchIdOf(messages);
  const receipts = (sequence: number, duplicate: boolean): PublishReceipt[] =>
    messages.map((_, index) => ({ duplicate, stream, sequence: sequence - last + index }));
  try {
    const ack = await publisher.publish(
      { subject: subject(name), header: '', body, bodyLength: body.length },
      {
        stream,
        timeout,
        batch: {
          id: `${batchId}-`,
          size: messages.length,
          subjects: new Set(messages.map((message) => subject(message.name))),
          // Each try is a batch of its own at the server, which may still wait for the rest of an earlier one.
          encode: () => encode(messages, `${batchId}-${randomUUID().slice(0, 8)}`, subject),
        },
      },
    );
    return receipts(ack.sequence, false);
  } catch (error) {
    if (!(error instanceof EventsError) || error.serverCode !== DUPLICATE_IN_BATCH) throw error;
    const stored = await find(publisher, jsm, stream, messages, subject(name), batchId);
    if (stored === 'unknown') {
      const message = `the batch was refused because it holds ids that are stored, and whether it is the stored batch could not be found out: emit it again with the same ids`;
      throw new EventsError('publish_unconfirmed', message, {
        cause: error,
        serverCode: DUPLICATE_IN_BATCH,
        retryable: true,
      });
    }
    if (stored !== undefined) return receipts(stored, error.code !== 'publish_unconfirmed');
    if (error.code === 'publish_unconfirmed') throw error;
    throw new EventsError(
      'publish_rejected',
      'an event of the batch has the id of an event that was stored before, on its own or in another batch, or of another ' +
        'event of the batch: nothing of this batch was stored; emit it with new ids, or without the events that are stored',
      { cause: error, serverCode: DUPLICATE_IN_BATCH },
    );
  }
}

const batchIdOf = (messages: readonly OutboundMessage[]): string =>
  createHash('sha256')
    .update(messages.map(({ messageId }) => messageId).join('\n'))
    .digest('hex')
    .slice(0, 32);

const encode = (
  messages: readonly OutboundMessage[],
  id: string,
  subject: BatchTarget['subject'],
): WireMessage[] =>
  messages.map(({ name, headers, messageId, body }, index) => {
    const batch: Record<string, string> = {
      'Nats-Batch-Id': id,
      'Nats-Batch-Sequence': String(index + 1),
      ...(index === messages.length - 1 && { 'Nats-Batch-Commit': '1' }),
    };
    const header = encodeHeaders({ ...headers, ...batch }, messageId);
    return { subject: subject(name), header, body, bodyLength: body.length };
  });

/**
 * The sequence of the batch's last event, if this batch is stored.
 *
 * Only the server can find an id: it answers a publish of one that it has with its sequence. The message published here can never
 * be stored, because it expects an id that no message has before it. The server looks for duplicates before it checks that
 * expectation, and after it checks an expected sequence.
 */
async function find(
  publisher: StreamPublisher,
  jsm: JetStreamManager,
  stream: string,
  messages: readonly OutboundMessage[],
  subject: Subject,
  batchId: string,
): Promise<number | 'unknown' | undefined> {
  const { messageId } = messages.at(-1) as OutboundMessage;
  const header = encodeHeaders({ 'Nats-Expected-Last-Msg-Id': randomUUID() }, messageId);
  try {
    const { sequence } = await publisher.publish(
      { subject, header, body: '', bodyLength: 0 },
      { stream, timeout: FIND_TIMEOUT },
    );
    const { header: headers } = await jsm.streams.getMessage(stream, { seq: sequence });
    const isOurs =
      headers.get('Nats-Batch-Id').startsWith(`${batchId}-`) &&
      headers.get('Nats-Batch-Sequence') === String(messages.length);
    return isOurs ? sequence : undefined;
  } catch (error) {
    const code = apiErrorCode(error);
    return code === WRONG_LAST_MESSAGE_ID || code === MESSAGE_NOT_FOUND ? undefined : 'unknown';
  }
}
