import type { NatsConnection } from 'nats';
import { EventsError } from '../../core/errors';

/** Milliseconds. */
const TIMEOUT = 5000;
const NO_MESSAGE_FOUND = 10037;

interface Answer {
  readonly message?: { readonly hdrs?: string; readonly data?: string };
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

/**
 * One message of a stream, by sequence or the last of a subject, to the byte: the client would rewrite its header keys.
 * @throws EventsError `jetstream_unavailable`; NatsError what the client throws of a request
 */
export async function storedMessage(
  nc: NatsConnection,
  stream: string,
  which: { readonly seq: number } | { readonly last_by_subj: string },
): Promise<{ header: Buffer; body: Buffer } | undefined> {
  const reply = await nc.request(`$JS.API.STREAM.MSG.GET.${stream}`, JSON.stringify(which), {
    timeout: TIMEOUT,
  });
  const { message, error } = reply.json<Answer>();
  if (error?.err_code === NO_MESSAGE_FOUND) return undefined;
  if (message === undefined) {
    const what = `stream '${stream}' cannot be read: ${error?.description ?? 'no reason given'}`;
    throw new EventsError('jetstream_unavailable', what, { retryable: true });
  }
  return {
    header: Buffer.from(message.hdrs ?? '', 'base64'),
    body: Buffer.from(message.data ?? '', 'base64'),
  };
}
