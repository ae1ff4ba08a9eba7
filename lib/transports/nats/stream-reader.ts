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

/** Milliseconds without a byte after which nothing more is expected. */
const SILENCE = 5000;
/** Milliseconds without a message: what comes meanwhile is for others. */
const PATIENCE = 120_000;
const LOOK = 500;
/** Bytes that are asked for at once: the server gives up a connection on which too much waits. */
const MAX_BYTES = 512 * 1024;
/** Milliseconds for which the consumer stays at the server if this process dies. */
const INACTIVE = 60_000;

export interface StreamQuery {
  readonly stream: string;
  readonly filter: string;
  readonly from: number;
  readonly limit: number;
  readonly headersOnly: boolean;
}

/** Reads messages of a stream in order, without settling anything: through a consumer that lives for this call. */
export async function readStream(
  nc: NatsConnection,
  jsm: JetStreamManager,
  inboxPrefix: string,
  query: StreamQuery,
): Promise<StoredMessage[]> {
  const info = await jsm.consumers.add(query.stream, {
    name: createInbox().split('.').at(-1),
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: query.from,
    filter_subject: query.filter,
    headers_only: query.headersOnly,
    inactive_threshold: nanos(INACTIVE),
    mem_storage: true,
    num_replicas: 1,
  });
  const wanted = Math.min(query.limit, info.num_pending);
  try {
    return wanted === 0
      ? []
      : await new StreamReading(nc, inboxPrefix, query.stream, info.name, wanted).read();
  } finally {
    await jsm.consumers.delete(query.stream, info.name).catch(() => undefined);
  }
}

/** One call: asks for some bytes after the other, as long as the server sends any. */
class StreamReading {
  readonly #messages: StoredMessage[] = [];
  readonly #inbox: string;
  /** Of the last request. */
  #received = 0;
  /** One message is asked for, of any size. */
  #alone = false;
  #heardAt = performance.now();
  #messageAt = this.#heardAt;
  #resolve: (messages: StoredMessage[]) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;

  constructor(
    private readonly nc: NatsConnection,
    inboxPrefix: string,
    private readonly stream: string,
    private readonly consumer: string,
    private readonly wanted: number,
  ) {
    this.#inbox = createInbox(inboxPrefix);
  }

  /** @throws EventsError `jetstream_unavailable` */
  async read(): Promise<StoredMessage[]> {
    const { nc } = this;
    const socket = socketOf(nc);
    let bytes = bytesRead(nc);
    const subscription = nc.subscribe(this.#inbox, {
      callback: (error, msg) => {
        // The client must never see an error of ours: it would stop reading for everybody.
        try {
          if (error === null) this.#onMessage(ReceivedMessage.of(msg));
          else this.#reject(error);
        } catch (failure) {
          this.#reject(failure as Error);
        }
      },
    });
    const timer = setInterval(() => {
      const now = performance.now();
      const seen = bytesRead(nc);
      if (seen !== bytes) this.#heardAt = now;
      bytes = seen;
      if (socketOf(nc) !== socket) this.#fail('the connection was lost');
      else if (now - this.#heardAt > SILENCE || now - this.#messageAt > PATIENCE)
        this.#fail(`${this.#messages.length} of ${this.wanted} messages came, then none`);
    }, LOOK);
    try {
      return await new Promise<StoredMessage[]>((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
        this.#request(MAX_BYTES);
      });
    } finally {
      clearInterval(timer);
      subscription.unsubscribe();
    }
  }

  #request(maxBytes?: number): void {
    this.#received = 0;
    const request =
      maxBytes === undefined
        ? { batch: 1, no_wait: true }
        : { batch: this.wanted - this.#messages.length, max_bytes: maxBytes, no_wait: true };
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.stream}.${this.consumer}`;
    this.nc.publish(subject, JSON.stringify(request), { reply: this.#inbox });
  }

  #onMessage(message: ReceivedMessage): void {
    this.#heardAt = performance.now();
    const stored = storedMessage(message);
    if (stored === undefined) return this.#onStatus(message);
    this.#messageAt = this.#heardAt;
    this.#messages.push(stored);
    this.#received++;
    if (this.#messages.length === this.wanted) this.#resolve(this.#messages);
    else if (this.#alone) {
      this.#alone = false;
      this.#request(MAX_BYTES);
    }
  }

  #onStatus(message: ReceivedMessage): void {
    const { code, text } = statusOf(message);
    if (code === 100) return;
    // Something expired or was deleted since the consumer counted.
    if (code === 404 || code === 408) return this.#resolve(this.#messages);
    if (code !== 409 || !/MaxBytes/i.test(text)) return this.#fail(text);
    // The next message does not fit into what is left, or into all of it.
    this.#alone = this.#received === 0;
    this.#request(this.#alone ? undefined : MAX_BYTES);
  }

  #fail(why: string): void {
    const what = `stream '${this.stream}' cannot be read: ${why}`;
    this.#reject(new EventsError('jetstream_unavailable', what, { retryable: true }));
  }
}

// What the client's class has and its interface does not.
type ClientConnection = NatsConnection & {
  readonly protocol?: { readonly transport?: { readonly socket?: { readonly bytesRead?: number } } };
};

const socketOf = (nc: NatsConnection): unknown => (nc as ClientConnection).protocol?.transport?.socket;

/** Bytes of whatever came on the connection, a message that has not come whole included. */
const bytesRead = (nc: NatsConnection): number =>
  (nc as ClientConnection).protocol?.transport?.socket?.bytesRead ?? nc.stats().inBytes;

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
