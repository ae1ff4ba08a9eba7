import { EventsError } from './errors';
import { textOf } from './thrown';
import type { OutboundMessage, PublishReceipt } from './transport';

type Send = (messages: readonly OutboundMessage[]) => Promise<readonly PublishReceipt[]>;

/** Events that are stored together or not at all: sent when each has come through its stages, unless one has not. */
export class EmitBatch {
  readonly #send: Send;
  readonly #places: (OutboundMessage | undefined)[];
  readonly #sent: Promise<ReadonlyMap<OutboundMessage, PublishReceipt>>;
  #complete: (refusal: unknown) => void = () => undefined;
  #expected: number;
  #refusal: unknown;

  /** @param timeout milliseconds in which each has to come through its stages: some may wait for others of the batch */
  constructor(count: number, timeout: number, send: Send) {
    this.#send = send;
    this.#expected = count;
    this.#places = new Array<undefined>(count).fill(undefined);
    this.#sent = new Promise<unknown>((resolve) => (this.#complete = resolve)).then((refusal) =>
      this.#flush(refusal),
    );
    const timer = setTimeout(() => {
      const missing = `${this.#expected} of ${count} events did not come through their middleware within ${timeout} ms`;
      this.#complete(
        new EventsError('publish_rejected', `nothing was sent: ${missing}; does one wait for another?`),
      );
    }, timeout);
    // What becomes of it, each of the events tells.
    void this.#sent.catch(() => undefined).then(() => clearTimeout(timer));
    if (count === 0) this.#complete(undefined);
  }

  /** The event at this place is ready. Resolves when the batch is stored. */
  async add(place: number, message: OutboundMessage): Promise<PublishReceipt> {
    // A middleware that goes on twice sends it once.
    if (this.#places[place] === undefined) {
      this.#places[place] = message;
      this.#arrive();
    }
    return (await this.#sent).get(this.#places[place]) as PublishReceipt;
  }

  /** The event at this place has ended: before it was added, it was refused, or a middleware did not pass it on. */
  ended(place: number, refusal?: unknown): void {
    if (this.#places[place] !== undefined) return;
    this.#refusal ??= refusal;
    this.#arrive();
  }

  #arrive(): void {
    if (--this.#expected === 0) this.#complete(this.#refusal);
  }

  async #flush(refusal: unknown): Promise<ReadonlyMap<OutboundMessage, PublishReceipt>> {
    if (refusal !== undefined) {
      throw new EventsError(
        'publish_rejected',
        `another event of the batch was refused: ${textOf(refusal)}`,
        {
          cause: refusal,
        },
      );
    }
    const messages = this.#places.filter((message) => message !== undefined);
    const receipts = messages.length === 0 ? [] : await this.#send(messages);
    return new Map(messages.map((message, index) => [message, receipts[index] as PublishReceipt]));
  }
}
