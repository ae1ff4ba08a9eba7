import {
  AckPolicy,
  createInbox,
  DeliverPolicy,
  nanos,
  type JetStreamManager,
  type NatsConnection,
} from 'nats';
import { EventsError } from '../../core/errors';
import type { EventHeaders } from '../../core/headers';
import { emptyHeaders } from '../../core/headers';
import { millisOf, parseAckSubject } from './ack-subject';
import { decodeHeaders, MAX_DEAD_LETTER_BLOCK, statusOf } from './header-block';
import { ReceivedMessage } from './received-message';

export interface StoredMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly headers: EventHeaders;
  readonly body: Uint8Array;
  readonly storedAt: number;
}

const TIMEOUT = 5000;

/** Reads messages of a stream in order, without settling anything: through a consumer that lives for this call. */
export async function readStream(
  nc: NatsConnection,
  jsm: JetStreamManager,
  inboxPrefix: string,
  query: { stream: string; filter: string; from: number; limit: number; headersOnly: boolean },
): Promise<StoredMessage[]> {
  const info = await jsm.consumers.add(query.stream, {
    name: createInbox().split('.').at(-1),
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: query.from,
    filter_subject: query.filter,
    headers_only: query.headersOnly,
    inactive_threshold: nanos(2 * TIMEOUT),
    mem_storage: true,
    num_replicas: 1,
  });
  const wanted = Math.min(query.limit, info.num_pending);
  try {
    return wanted === 0 ? [] : await pull(nc, createInbox(inboxPrefix), query.stream, info.name, wanted);
  } finally {
    await jsm.consumers.delete(query.stream, info.name).catch(() => undefined);
  }
}

function pull(
  nc: NatsConnection,
  inbox: string,
  stream: string,
  consumer: string,
  wanted: number,
): Promise<StoredMessage[]> {
  return new Promise((resolve, reject) => {
    const messages: StoredMessage[] = [];
    const end = (finish: () => void): void => {
      clearTimeout(timer);
      subscription.unsubscribe();
      finish();
    };
    const timer = setTimeout(() => {
      const message = `stream '${stream}' answered ${messages.length} of ${wanted} messages within ${TIMEOUT} ms`;
      end(() => reject(new EventsError('jetstream_unavailable', message, { retryable: true })));
    }, TIMEOUT);
    const subscription = nc.subscribe(inbox, {
      callback: (error, msg) => {
        if (error !== null) return end(() => reject(error));
        const message = ReceivedMessage.of(msg);
        const stored = storedMessage(message);
        if (stored !== undefined) messages.push(stored);
        else {
          const { code, text } = statusOf(message);
          // Something expired or was deleted since the consumer counted.
          if (code === 404 || code === 408) return end(() => resolve(messages));
          const what = `stream '${stream}' cannot be read: ${text}`;
          if (code !== 100)
            return end(() => reject(new EventsError('jetstream_unavailable', what, { retryable: true })));
        }
        if (messages.length === wanted) end(() => resolve(messages));
      },
    });
    const request = { batch: wanted, no_wait: true };
    nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(request), { reply: inbox });
  });
}

function storedMessage(msg: ReceivedMessage): StoredMessage | undefined {
  const info = parseAckSubject(msg.reply);
  if (info === undefined) return undefined;
  return {
    sequence: info.sequence,
    subject: msg.subject,
    headers: decodeHeaders(msg.headerBlock, MAX_DEAD_LETTER_BLOCK) ?? emptyHeaders(),
    body: msg.data,
    storedAt: millisOf(info.timestamp),
  };
}
