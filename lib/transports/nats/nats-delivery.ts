import { randomUUID } from 'node:crypto';
import type { ReceivedMessage } from './received-message';
import { placeId } from '../../core/event-id';
import { emptyHeaders, type EventHeaders } from '../../core/headers';
import { eventNameOf } from '../../core/names';
import { ownText } from '../../core/text';
import type { Delivery } from '../../core/transport';
import { millisOf, type AckInfo } from './ack-subject';
import { decodeHeaders, decodeOwnHeaders, MAX_HEADER_BLOCK } from './header-block';

/** A message as a delivery. What is not asked for is not read. */
export class NatsDelivery implements Delivery {
  readonly #msg: ReceivedMessage;
  readonly #clusterId: string;
  readonly #storedAt: number;
  #fallbackId: string | undefined;
  #name: string | undefined = undefined;
  #headers: EventHeaders | undefined = undefined;
  #body: Uint8Array | undefined = undefined;
  #malformed = false;
  /** Set before the event runs, where it was delivered before. */
  failures: number | undefined = undefined;

  /** @param fallbackId default: a random one */
  constructor(
    msg: ReceivedMessage,
    clusterId: string,
    fallbackId: string | undefined,
    readonly attempt: number,
    storedAt: number,
    private readonly maxHeaders = MAX_HEADER_BLOCK,
  ) {
    this.#msg = msg;
    this.#clusterId = clusterId;
    this.#fallbackId = fallbackId;
    this.#storedAt = storedAt;
  }

  /** Few senders leave events without an id: a random one is made when it is asked for. */
  get fallbackId(): string {
    return (this.#fallbackId ??= randomUUID());
  }

  get storedAt(): number {
    return this.#storedAt;
  }

  get subject(): string {
    return this.#msg.subject;
  }

  get name(): string {
    return (this.#name ??= nameIn(this.subject, this.#clusterId));
  }

  get body(): Uint8Array {
    return (this.#body ??= this.#msg.data);
  }

  get text(): string | undefined {
    return this.#msg.dataText;
  }

  get headers(): EventHeaders {
    if (this.#headers === undefined) {
      const headers = this.#read();
      this.#malformed = headers === undefined;
      this.#headers = headers ?? emptyHeaders();
    }
    return this.#headers;
  }

  get malformed(): string | undefined {
    void this.headers;
    return this.#malformed ? 'its header block is malformed or larger than 16 KB' : undefined;
  }

  /** The same event, delivered once more. */
  again(): NatsDelivery {
    return new NatsDelivery(this.#msg, this.#clusterId, this.fallbackId, this.attempt + 1, this.storedAt);
  }

  #read(): EventHeaders | undefined {
    const own = decodeOwnHeaders(this.#msg);
    return own ?? decodeHeaders(this.#msg.headerBlock, this.maxHeaders);
  }
}

/** The last subject and the name in it: most events have that of the one before. */
const last = { subject: '', clusterId: '', name: '' };

/** In memory of its own: what is cut out of a text keeps all of it, and handlers may keep a name. */
function nameIn(subject: string, clusterId: string): string {
  if (subject !== last.subject || clusterId !== last.clusterId) {
    last.subject = ownText(subject);
    last.clusterId = clusterId;
    last.name = eventNameOf(clusterId, last.subject);
  }
  return last.name;
}

/** A message of a stream: what follows from its place there is made when it is asked for. */
export class StreamDelivery extends NatsDelivery {
  constructor(
    msg: ReceivedMessage,
    private readonly stream: string,
    private readonly info: AckInfo,
  ) {
    super(msg, stream, undefined, info.deliveries, 0);
  }

  override get fallbackId(): string {
    return placeId(this.stream, this.info.sequence, this.storedAt);
  }

  override get storedAt(): number {
    return millisOf(this.info.timestamp);
  }
}
