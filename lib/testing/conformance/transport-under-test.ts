import type { EventHeaders } from '../../core/headers';
import type { EventTransport } from '../../core/transport';

/** What a transport promises beyond passing events on; the suite asks for exactly this. */
export interface TransportFeatures {
  /**
   * The broker stores events: subscriptions keep their position while nobody listens and can start in the past,
   * failures and hand-backs are delivered again by the broker, to any instance, and a second event of one id is
   * recognised. Without it events reach whoever listens, and retries happen inside the process.
   */
  readonly durable: boolean;
  /** Events that failed for good are kept, with their failure. */
  readonly deadLetters: boolean;
  /**
   * Bytes a message may have at the broker; the suite emits more and expects `payload_too_large`. More than 1,010,000,
   * because a body of 1,000,000 must pass. Left out: the broker takes whatever fits into memory.
   */
  readonly maxPayload?: number;
}

/** A dead letter as the broker keeps it. */
export interface StoredDeadLetter {
  readonly subject: string;
  readonly headers: EventHeaders;
  readonly body: Uint8Array;
}

/** One test's own broker, or its own corner of a shared one: no event of another test is ever seen in it. */
export interface TransportUnderTest {
  /**
   * A new transport, not yet connected, for an instance of the service `app`. All that are created in one test share
   * the broker and the cluster id. The suite connects and closes it.
   */
  create(app: string): EventTransport;
  /** The dead letters stored so far, oldest first. Not called where the features have none. */
  deadLetters(): Promise<readonly StoredDeadLetter[]>;
  /** Called once, after all transports of the test are closed. */
  dispose(): Promise<void>;
}
