import type { Msg } from 'nats';
import { emptyHeaders, type EventHeaders } from '../../core/headers';
import { eventNameOf } from '../../core/names';
import type { Delivery } from '../../core/transport';
import { decodeHeaders, headerBlockOf, MAX_HEADER_BLOCK } from './header-block';

/** A message as a delivery. Its headers are read when they are first asked for. */
export class NatsDelivery implements Delivery {
  readonly #msg: Msg;
  readonly #clusterId: string;
  #headers: EventHeaders | undefined;
  #malformed = false;

  constructor(
    msg: Msg,
    clusterId: string,
    readonly fallbackId: string,
    readonly attempt: number,
    readonly storedAt: number,
    private readonly maxHeaders = MAX_HEADER_BLOCK,
  ) {
    this.#msg = msg;
    this.#clusterId = clusterId;
  }

  get subject(): string {
    return this.#msg.subject;
  }

  get name(): string {
    return eventNameOf(this.#clusterId, this.#msg.subject);
  }

  get body(): Uint8Array {
    return this.#msg.data;
  }

  get headers(): EventHeaders {
    if (this.#headers === undefined) {
      const headers = decodeHeaders(headerBlockOf(this.#msg), this.maxHeaders);
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
