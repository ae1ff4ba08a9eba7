import type { DeadLetterStore, Orphan } from './dead-letter-store';
import type { EventHeaders } from './headers';
import type { MaybePromise } from './promises';
import type { Settlement } from './settlement';

/** `durable`: stored, retried, at least once. `ephemeral`: to whoever listens now, may lose. */
export type DeliveryMode = 'durable' | 'ephemeral';

/** Where a durable starts when it is created: what comes from now on, all that is stored, or from a moment. */
export type StartFrom = 'new' | 'first' | Date;

/** An encoded event on its way to the broker. Some of it is made when it is read: a copy made with `...` has not all of it. */
export interface OutboundMessage {
  readonly name: string;
  /** The broker stores one message per id inside its duplicate window. */
  readonly messageId: string;
  /** Checked: keys and values are free of CR and LF. */
  readonly headers: EventHeaders;
  readonly body: Uint8Array;
  /** Milliseconds left to have it confirmed, of an event that has waited for its turn. Default: all that a publish has. */
  readonly timeLeft?: number;
}

export interface PublishReceipt {
  readonly duplicate: boolean;
  readonly stream?: string;
  readonly sequence?: number;
}

/** An event as the broker delivers it, still encoded. */
export interface Delivery {
  /** The subject the event was published to, and the event name in it. */
  readonly subject: string;
  readonly name: string;
  readonly headers: EventHeaders;
  readonly body: Uint8Array;
  /** The body as text, if it is ASCII and the transport has it at hand. Default: it is read from `body`. */
  readonly text?: string | undefined;
  /** 1 for the first delivery. */
  readonly attempt: number;
  /** Earlier attempts of the handler that failed; the event is given up by these. Default: `attempt` - 1. */
  readonly failures?: number | undefined;
  /** When the broker took the event, in milliseconds since the epoch. */
  readonly storedAt: number;
  /** Why the headers could not be read, if so: the event is undecodable. Default: they could. */
  readonly malformed?: string | undefined;
  /** Stands in for the event id where the sender gave none; the same at each delivery. */
  readonly fallbackId: string;
}

/** Decides what becomes of a delivery. Never rejects. What it gives back can be awaited, but need not be a promise. */
export type Consumer = (delivery: Delivery) => PromiseLike<Settlement>;

/** What a transport has to know of a subscription. */
export interface SubscriptionSpec {
  /** The service and the handler, as written; stored beside the durable to detect collisions. */
  readonly app: string;
  readonly handler: string;
  /** The identity at the broker: name of the durable, or of the queue group. */
  readonly durable: string;
  /** Event names, or exactly one wildcard pattern. */
  readonly patterns: readonly string[];
  /** Names that the handler took before and takes no more: its durable stops taking them. Default: none. */
  readonly removed?: readonly string[];
  readonly delivery: DeliveryMode;
  /** Every instance gets each event, instead of one instance of the service. */
  readonly broadcast: boolean;
  readonly startFrom: StartFrom;
  /** How many deliveries may be with the consumer at once. */
  readonly concurrency: number;
  /** Deliveries after which a failure is final, by the retry policy; more of them are suspicious. */
  readonly maxDeliveries: number;
}

/**
 * One subscription at the broker. However slow its consumer is, this process holds a bounded number of its events beside
 * those that run: at most 500 of a durable one, whose rest waits at the broker or goes to other instances, and 1,000, or
 * `concurrency` ten times if that is more, of an ephemeral one, which drops what comes then and tells how many in `problems`.
 */
export interface TransportSubscription {
  /** Begins to deliver. Until then the broker keeps what arrives. */
  start(): void;
  /** Lets at most so many deliveries run at once from now on, never more than `concurrency`; 0 pauses. */
  limit(concurrency: number): void;
  /**
   * Stops: no new deliveries, what is buffered goes back to the broker, what runs may finish within `timeout`
   * milliseconds, the rest is handed back. While stopping, a failed delivery is handed back, never dead-lettered.
   * What the broker keeps for the subscription stays; only a broadcast's is removed. Can be called again.
   */
  stop(timeout: number): Promise<void>;
}

export interface TransportStatus {
  /** Whether events can be published and consumed at this moment. */
  readonly connected: boolean;
  /** What is wrong at this moment, one sentence each; empty when all is well. */
  readonly problems: readonly string[];
}

/**
 * The way to a broker. Implementations are safe for concurrent calls, never call back synchronously from `publish`,
 * and are the only ones who settle: above them everything returns a `Settlement`.
 * `transportConformance` in `@venta/events/testing` is the executable form of this contract.
 */
export interface EventTransport {
  /** Connects and makes sure that what events are stored in exists. Called once. Rejects with a named error. */
  connect(): Promise<void>;
  /** Resolves when the broker has the message. Rejects with an `EventsError` when it has not, or when that is unknown. */
  publish(message: OutboundMessage): Promise<PublishReceipt>;
  /**
   * Stores all of the messages or none, in their order; resolves to a receipt for each. Absent if the transport cannot.
   * @throws EventsError `batch_unsupported` where the broker cannot
   */
  publishAtomic?(messages: readonly OutboundMessage[]): Promise<readonly PublishReceipt[]>;
  /** Registers the subscription at the broker; from here on nothing is missed. A promise, unless it is there at once. */
  subscribe(spec: SubscriptionSpec, consumer: Consumer): MaybePromise<TransportSubscription>;
  status(): TransportStatus;
  /** Where dead letters are kept; absent if nowhere. Usable once connected. */
  readonly deadLetters?: DeadLetterStore;
  /** Durables of this service that no subscription claims. Called when all handlers are bound. */
  orphans?(): Promise<readonly Orphan[]>;
  /** Sends what is still to be sent, then disconnects. Subscriptions are stopped before. Can be called again. */
  close(): Promise<void>;
}
