import { randomUUID } from 'node:crypto';
import { deadLetterHeaders } from '../../core/dead-letter';
import { EventsError } from '../../core/errors';
import { emptyHeaders } from '../../core/headers';
import { deadLetterStream, deadLetterSubject } from '../../core/names';
import type { Failure } from '../../core/settlement';
import type { Delivery, SubscriptionSpec } from '../../core/transport';
import { encodeHeaders } from './header-block';
import type { StreamPublisher } from './publisher';
import type { Position } from './pull-source';

/** The subject has a message already: this event's dead letter was written before a crash. */
const WRONG_LAST_SEQUENCE = 10071;

export interface Origin extends Position {
  readonly stream: string;
  readonly subject: string;
  readonly storedAt: number;
  /** Milliseconds since the epoch. */
  readonly firstFailedAt: number;
  /** What tells this dead letter from others, where it is not the place in the event stream. */
  readonly identity?: Position;
  /** Of an event that was redriven: how often. */
  readonly redrives?: number;
}

/** Writes events that are given up to the dead-letter stream. */
export class DeadLetters {
  constructor(
    private readonly publisher: StreamPublisher,
    private readonly clusterId: string,
    private readonly timeout: number,
    private readonly maxPayload: () => number,
  ) {}

  /** Resolves when the dead letter is stored, once, however often it is called for the same event and handler. */
  async write(
    delivery: Delivery,
    { durable, app, handler }: Pick<SubscriptionSpec, 'durable' | 'app' | 'handler'>,
    failure: Failure,
    { identity, timestamp, ...from }: Origin,
  ): Promise<void> {
    const { sequence } = from;
    const at = identity ?? { sequence, timestamp: sequence === 0 ? randomUUID() : timestamp };
    const origin = {
      ...from,
      ...{ durable, app, handler },
      attempts: delivery.attempt,
      lastFailedAt: Date.now(),
    };
    const encode = (original: Delivery['headers'], more: Record<string, string> = {}): Uint8Array =>
      encodeHeaders({
        ...deadLetterHeaders(original, failure, origin),
        ...more,
        'Nats-Expected-Last-Subject-Sequence': '0',
      });
    let header = encode(delivery.headers);
    let { body } = delivery;
    // Whatever we emitted leaves room for the failure; an event from elsewhere may not.
    if (header.length + body.length > this.maxPayload()) {
      header = encode(emptyHeaders(), { 'Event-Failure-Omitted': 'headers' });
    }
    if (header.length + body.length > this.maxPayload()) {
      header = encode(emptyHeaders(), { 'Event-Failure-Omitted': 'headers, body' });
      body = new Uint8Array();
    }
    try {
      const subject = deadLetterSubject(this.clusterId, durable, at.sequence, at.timestamp, delivery.name);
      await this.publisher.publish(
        { subject, header, body, bodyLength: body.length },
        { stream: deadLetterStream(this.clusterId), timeout: this.timeout },
      );
    } catch (error) {
      if (error instanceof EventsError && error.serverCode === WRONG_LAST_SEQUENCE) return;
      throw error;
    }
  }
}
