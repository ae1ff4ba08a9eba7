import { isAscii } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { ReceivedMessage } from './received-message';
import { emptyHeaders, type EventHeaders } from '../../core/headers';
import { eventNameOf } from '../../core/names';
import type { Delivery } from '../../core/transport';
import { millisOf, type AckInfo } from './ack-subject';
import { decodeHeaders, decodeOwnHeaders, MAX_HEADER_BLOCK } from './header-block';

/** Bytes of a message up to which it is read as one text. */
const MAX_TEXT = 8192;

/** A message as a delivery. What is not asked for is not read. */
export class NatsDelivery implements Delivery {
  readonly #msg: ReceivedMessage;
  readonly #clusterId: string;
  readonly #storedAt: number;
  #fallbackId: string | undefined;
  #name: string | undefined = undefined;
  #headers: EventHeaders | undefined = undefined;
  #body: Uint8Array | undefined = undefined;
  /** All of it as text, if it is short and ASCII; `null` if it is not. */
  #message: string | null | undefined = undefined;
  #malformed = false;

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
    return (this.#name ??= eventNameOf(this.#clusterId, this.subject));
  }

  get body(): Uint8Array {
    return (this.#body ??= this.#msg.data);
  }

  get text(): string | undefined {
    return this.#ascii?.slice(this.#msg.headerLength);
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
    const { bytes, headerLength } = this.#msg;
    const message = headerLength === 0 ? undefined : this.#ascii;
    const own = message === undefined ? undefined : decodeOwnHeaders(bytes, message, headerLength);
    return own ?? decodeHeaders(this.#msg.headerBlock, this.maxHeaders);
  }

  /**
   * Header block and body are made into text at once: twice is twice the price. Not of large messages, which somebody who
   * keeps an id would keep with it.
   */
  get #ascii(): string | undefined {
    if (this.#message === undefined) {
      const { bytes } = this.#msg;
      const readable = bytes.length <= MAX_TEXT && isAscii(bytes);
      this.#message = readable ? bytes.toString('latin1') : null;
    }
    return this.#message ?? undefined;
  }
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
    return `${this.stream}-${this.info.sequence}`;
  }

  override get storedAt(): number {
    return millisOf(this.info.timestamp);
  }
}
