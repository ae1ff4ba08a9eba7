import type { ConsumerInfo } from 'nats';
import type { ReceivedMessage } from './received-message';
import type { Failure, Settlement } from '../../core/settlement';
import type { Delivery } from '../../core/transport';
import type { AckInfo } from './ack-subject';
import type { AttemptRecords } from './attempt-records';
import type { ConsumerVerdict, KnownConsumer } from './durables';

/** Milliseconds for which an event without a handler here waits for another instance. */
export const GIVE_UP = 10 * 60_000;

/** Where in a stream an event is, and since when it fails, as far as this process knows. */
export interface Position {
  readonly sequence: number;
  /** The server's timestamp: with the sequence, the identity of a stored message. */
  readonly timestamp: string;
}

/** An event that is being handled. */
export interface Handling extends Position {
  /** Called once when it has been handled, if it is set by then. */
  leave: (() => void) | undefined;
  /** Where its failure is recorded; set when the handler is called. */
  attempts?: AttemptRecords | undefined;
  /** It was handed back, or settled. */
  readonly settled?: boolean;
}

/** What a pull subscription consumes, and what it does with it: the events of a handler, or what was redriven. */
export interface PullSource {
  readonly stream: string;
  /** Name of the consumer when the subscription begins. */
  readonly consumer: string;
  /** When the server created that consumer. */
  readonly created: string;
  /** For people. */
  readonly label: string;
  /** Events handled at once. */
  readonly concurrency: number;
  /** Everything up to here is settled. */
  readonly ackFloor: number;
  toDelivery(msg: ReceivedMessage, info: AckInfo): Delivery;
  /** Never rejects. */
  consume(delivery: Delivery, handling: Handling): PromiseLike<Settlement>;
  /** Stores and confirms it, once per position. @param firstFailedAt milliseconds since the epoch */
  deadLetter(delivery: Delivery, failure: Failure, position: Position, firstFailedAt: number): Promise<void>;
  /** Compares its consumer with what a start accepts, and puts right what an update can. @throws EventsError where nothing can */
  examine(info: ConsumerInfo, known: KnownConsumer): Promise<ConsumerVerdict>;
  /** Recreates the lost consumer at a stream sequence. */
  recreate(fromSequence: number): Promise<ConsumerInfo>;
  /** Called before what still runs is handed back; when it resolves, no such attempt looks like the end of a process. */
  handBack?(): Promise<void>;
  /** Everything up to this sequence is settled, by whomever. */
  settledTo?(floor: number): void;
  /** The stream was made anew: what is known of its events means nothing any more. */
  forget?(): void;
  /** Called when the subscription has stopped. */
  stopped?(consumer: string): Promise<void>;
}
