import type { Msg, NatsError, Subscription } from 'nats';
import { ReceivedMessage } from './received-message';
import type { NatsLink } from './connection';

const FLUSH_TIMEOUT = 5000;

export interface SteadyOptions {
  readonly queue?: string;
  /** Must not throw: the client would stop reading for everybody. */
  readonly onMessage: (message: ReceivedMessage) => void;
  /** It was refused, and holds again. */
  readonly onRestored?: () => void;
}

/**
 * A subscription that lives as long as it is wanted. The client drops one that the server refuses, for good; permissions
 * that are taken away from a living connection and given back would leave its owner deaf.
 */
export class SteadySubscription {
  readonly #link: NatsLink;
  readonly #subject: string;
  readonly #options: SteadyOptions;
  readonly #unlisten: () => void;
  #subscription: Subscription;
  #refused: string | undefined;
  #retrying = false;
  #ended = false;

  /** Use `NatsLink.subscribe`. */
  constructor(link: NatsLink, subject: string, options: SteadyOptions) {
    this.#link = link;
    this.#subject = subject;
    this.#options = options;
    this.#subscription = this.#open();
    // Older servers do not name the queue group, by which the client would find whom to tell.
    this.#unlisten = link.listen({
      denied: (operation, denied) => {
        if (operation === 'subscription' && denied === subject) this.#refused ??= 'the server denies it';
      },
    });
  }

  /** What the server said, while it refuses it. */
  get refused(): string | undefined {
    return this.#refused;
  }

  /** Tries again what was refused. Called once a second. */
  async tick(): Promise<void> {
    if (this.#refused === undefined || this.#retrying || this.#ended || !this.#link.connected) return;
    this.#retrying = true;
    const refused = this.#refused;
    try {
      this.#refused = undefined;
      this.#subscription.unsubscribe();
      this.#subscription = this.#open();
      await this.#link.flush(FLUSH_TIMEOUT);
    } catch {
      // Whether it holds is not known: asked again.
      this.#refused ??= refused;
      return;
    } finally {
      this.#retrying = false;
    }
    if (this.#refused !== undefined) return;
    this.#link.refusals.lift('subscription', this.#subject);
    this.#options.onRestored?.();
  }

  /** Resolves when the server has seen the end of it and all that came before is here; at once without a connection. */
  async drain(): Promise<void> {
    this.#ended = true;
    this.#unlisten();
    this.#link.forget(this);
    // Forgotten by the client, it is not asked for again at the next reconnect.
    if (!this.#link.connected) this.#subscription.unsubscribe();
    else if (this.#refused === undefined) await this.#subscription.drain();
  }

  #open(): Subscription {
    const { queue, onMessage } = this.#options;
    const subscription = this.#link.nc.subscribe(this.#subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error: NatsError | null, msg: Msg) => {
        if (error === null) onMessage(ReceivedMessage.of(msg));
        else this.#refused = error.message;
      },
    });
    const { reader } = this.#link;
    const sid = subscription.getID();
    reader.listen(sid, onMessage);
    void subscription.closed.then(() => reader.forget(sid));
    return subscription;
  }
}
