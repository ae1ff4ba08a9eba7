import type { JetStreamManager } from 'nats';
import type { EventsLogger } from '../../core/logger';
import type { NatsLink } from './connection';

/** What a pull subscription and its parts work with. */
export interface PullParts {
  readonly link: NatsLink;
  readonly jsm: JetStreamManager;
  /** When the server created the stream, in its own words. */
  readonly streamCreated: string;
  readonly inboxPrefix: string;
  /** Milliseconds the server waits for a settlement, or for a sign that the event is in hands. */
  readonly ackWait: number;
  readonly logger: EventsLogger;
  /** Makes sure that the streams are there; called when one is not. */
  readonly provision: () => Promise<unknown>;
}
