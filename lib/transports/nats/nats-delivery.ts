import { randomUUID } from 'node:crypto';
import type { Msg } from 'nats';
import { emptyHeaders, type EventHeaders } from '../../core/headers';
import { eventNameOf } from '../../core/names';
import type { Delivery } from '../../core/transport';
import { decodeHeaders, headerBlockOf, MAX_HEADER_BLOCK } from './header-block';

/** A message as a delivery. Its headers are read when they are first asked for. */
export class NatsDelivery implements Delivery {
  readonly #msg: Msg;
  readonly #clusterId: string;
  #fallbackId: string | undefined;
  #headers: EventHeaders | undefined;
  #body: Uint8Array | undefined;
  #malformed = false;

  /** @param fallbackId default: a random one */
  constructor(
    msg: Msg,
    clusterId: string,
    fallbackId: string | undefined,
    readonly attempt: number,
    readonly storedAt: number,
    private readonly maxHeaders = MAX_HEADER_BLOCK,
  ) {
    this.#msg = msg;
    this.#clusterId = clusterId;
    this.#fallbackId = fallbackId;
  }

  /** Few senders leave events without an id: a random one is made when it is asked for. */
  get fallbackId(): string {
    return (this.#fallbackId ??= randomUUID());
  }

  get subject(): string {
    return this.#msg.subject;
  }

  get name(): string {
    return eventNameOf(this.#clusterId, this.#msg.subject);
  }

  get body(): Uint8Array {
    return (this.#body ??= this.#msg.data);
  }

  get headers(): EventHeaders {
    if (this.#headers === undefined) {
      const headers = decodeHeaders(headerBlockOf(this.#msg, this.body), this.maxHeaders);
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
}
