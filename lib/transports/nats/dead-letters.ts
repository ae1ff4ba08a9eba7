import { randomUUID } from 'node:crypto';
import { deadLetterHeaders } from '../../core/dead-letter';
import { EventsError } from '../../core/errors';
import { deadLetterStream, deadLetterSubject } from '../../core/names';
import type { Failure } from '../../core/settlement';
import type { Delivery, SubscriptionSpec } from '../../core/transport';
import { encodeHeaders } from './header-block';
import type { StreamPublisher } from './publisher';

/** The subject has a message already: this event's dead letter was written before a crash. */
const WRONG_LAST_SEQUENCE = 10071;

export interface Origin {
  readonly stream: string;
  /** 0 if the event was never stored. */
  readonly sequence: number;
  /** The server's own timestamp of the event, part of its identity. */
  readonly timestamp: string;
  /** Milliseconds since the epoch. */
  readonly firstFailedAt: number;
}

/** Writes events that are given up to the dead-letter stream. */
export class DeadLetters {
  constructor(
    private readonly publisher: StreamPublisher,
    private readonly clusterId: string,
    private readonly timeout: number,
  ) {}

  /** Resolves when the dead letter is stored, once, however often it is called for the same event and handler. */
  async write(delivery: Delivery, spec: SubscriptionSpec, failure: Failure, origin: Origin): Promise<void> {
    const stream = deadLetterStream(this.clusterId);
    const unstored = origin.sequence === 0;
    const headers = deadLetterHeaders(delivery.headers, failure, {
      stream: origin.stream,
      sequence: origin.sequence,
      subject: delivery.subject,
      storedAt: delivery.storedAt,
      durable: spec.durable,
      app: spec.app,
      handler: spec.handler,
      attempts: delivery.attempt,
      firstFailedAt: origin.firstFailedAt,
      lastFailedAt: Date.now(),
    });
    const timestamp = unstored ? randomUUID() : origin.timestamp;
    try {
      await this.publisher.publish({
        subject: deadLetterSubject(this.clusterId, spec.durable, origin.sequence, timestamp, delivery.name),
        header: encodeHeaders({ ...headers, 'Nats-Expected-Last-Subject-Sequence': '0' }),
        body: delivery.body,
        stream,
        timeout: this.timeout,
      });
    } catch (error) {
      if (error instanceof EventsError && error.serverCode === WRONG_LAST_SEQUENCE) return;
      throw error;
    }
  }
}
