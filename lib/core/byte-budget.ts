import { EventsError } from './errors';

/** Bytes of JSON that an event may still take. Counting the least that a value takes, work ends where the event is certainly too large. */
export class ByteBudget {
  #left: number;

  /**
   * @param max bytes. Default: no limit
   * @param name of the event, for the message
   */
  constructor(
    private readonly max = Infinity,
    private readonly name = 'the data',
  ) {
    this.#left = max;
  }

  get isSpent(): boolean {
    return this.#left < 0;
  }

  /** @throws EventsError `payload_too_large` */
  take(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0) throw this.#tooLarge();
  }

  #tooLarge(): EventsError {
    return new EventsError(
      'payload_too_large',
      `${this.name} has more than ${this.max} bytes, and a message may have no more with its headers; ` +
        'store the bulk elsewhere and emit a reference',
    );
  }
}
