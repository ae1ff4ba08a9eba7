import { EventsError } from '../../core/errors';
import type { PublishReceipt } from '../../core/transport';
import type { NatsLink } from './connection';
import type { WireMessage } from './wire-message';

/** Core NATS tells no more. */
const RECEIPT: PublishReceipt = Object.freeze({ duplicate: false });

/**
 * Publishes over core NATS: resolved means that the server has it, not that anybody keeps it. That takes a round trip, and
 * what is published while one is under way shares the next: one for each turn of the event loop, however much it emits.
 */
export class EphemeralPublisher {
  readonly #link: NatsLink;
  readonly #timeout: number;
  /** Outcomes of what has been published in this turn, by subject: emits of one subject are permitted or refused together. */
  #outcomes = new Map<string, Promise<PublishReceipt>>();
  /** The round trip at the end of this turn. */
  #next: Promise<void> | undefined;
  #underWay = 0;

  /** @param timeout milliseconds the server has to answer */
  constructor(link: NatsLink, timeout: number) {
    this.#link = link;
    this.#timeout = timeout;
  }

  /**
   * @returns a promise that others may have too
   * @throws EventsError `disconnected`, `permission_denied`, `publish_rejected`
   */
  publish(message: WireMessage): Promise<PublishReceipt> {
    const link = this.#link;
    const { subject } = message;
    if (!link.connected) {
      const what = `cannot publish to '${subject}': not connected to NATS`;
      return Promise.reject(new EventsError('disconnected', what, { retryable: true }));
    }
    const before = link.refusals.lastNumber('publish', subject);
    try {
      link.frames.publish(message);
    } catch (cause) {
      // The client throws for what can never be sent: a payload over the limit of the server it is at now.
      const what = `cannot publish to '${subject}': ${(cause as Error).message}`;
      return Promise.reject(new EventsError('publish_rejected', what, { cause }));
    }
    // On its own it goes at once, in one write with the question for its confirmation.
    if (this.#underWay === 0) return this.#outcome(subject, before, this.#roundTrip());
    const known = this.#outcomes.get(subject);
    if (known !== undefined) return known;
    const outcome = this.#outcome(subject, before, (this.#next ??= this.#endOfTurn()));
    this.#outcomes.set(subject, outcome);
    return outcome;
  }

  /** @param before the last refusal of the subject when it was published */
  async #outcome(subject: string, before: number, confirmed: Promise<void>): Promise<PublishReceipt> {
    const { refusals } = this.#link;
    try {
      await confirmed;
    } catch (cause) {
      const message = `'${subject}' may not have reached the server: ${(cause as Error).message}`;
      throw new EventsError('disconnected', message, { cause, retryable: true });
    }
    if (refusals.lastNumber('publish', subject) !== before) {
      const message = `the server does not permit this service to publish to '${subject}'`;
      throw new EventsError('permission_denied', message);
    }
    refusals.lift('publish', subject);
    return RECEIPT;
  }

  /** After the callbacks of this turn, and all that they have published. */
  #endOfTurn(): Promise<void> {
    return new Promise((resolve) => {
      setImmediate(() => {
        this.#next = undefined;
        // A new one: one that is cleared again and again keeps its old tables, see number-map.ts.
        this.#outcomes = new Map();
        resolve(this.#roundTrip());
      });
    });
  }

  async #roundTrip(): Promise<void> {
    this.#underWay++;
    try {
      await this.#link.flush(this.#timeout);
    } finally {
      this.#underWay--;
    }
  }
}
