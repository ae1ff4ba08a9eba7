import { randomUUID } from 'node:crypto';
import { systemClock } from '../../core/clock';
import { deadLetterHeaders } from '../../core/dead-letter';
import { EventsError } from '../../core/errors';
import { emptyHeaders } from '../../core/headers';
import type { EventsLogger } from '../../core/logger';
import { textOf } from '../../core/thrown';
import { deadLetterStream, deadLetterSubject } from '../../core/names';
import type { Failure } from '../../core/settlement';
import type { Delivery, SubscriptionSpec } from '../../core/transport';
import type { NatsLink } from './connection';
import { decodeHeaders, encodeHeaders, MAX_DEAD_LETTER_BLOCK } from './header-block';
import type { StreamPublisher } from './publisher';
import type { Position } from './pull-source';
import { storedMessage } from './stored-message';

/** The subject has a message already: this event's dead letter, written before a crash, or one of somebody else. */
const WRONG_LAST_SEQUENCE = 10071;
/** Subjects that are tried before one that nobody can know. */
const MAX_COPIES = 5;

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

export interface DeadLettersParts {
  readonly publisher: StreamPublisher;
  readonly link: NatsLink;
  readonly clusterId: string;
  /** Milliseconds. */
  readonly timeout: number;
  /** Bytes the server takes at most. */
  readonly maxPayload: () => number;
  readonly logger: EventsLogger;
}

/** Writes events that are given up to the dead-letter stream. */
export class DeadLetters {
  constructor(private readonly parts: DeadLettersParts) {}

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
      lastFailedAt: systemClock.now(),
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
    if (header.length + body.length > this.parts.maxPayload()) {
      header = encode(emptyHeaders(), { 'Event-Failure-Omitted': 'headers' });
    }
    if (header.length + body.length > this.parts.maxPayload()) {
      header = encode(emptyHeaders(), { 'Event-Failure-Omitted': 'headers, body' });
      body = new Uint8Array();
    }
    const { clusterId, publisher, timeout, logger } = this.parts;
    const target = { stream: deadLetterStream(clusterId), timeout };
    for (let copy = 0; ; copy++) {
      const { name } = delivery;
      const which = copy < MAX_COPIES ? copy : randomUUID();
      const subject = deadLetterSubject(clusterId, durable, at.sequence, at.timestamp, name, which);
      try {
        await publisher.publish({ subject, header, body, bodyLength: body.length }, target);
        return;
      } catch (error) {
        if (!(error instanceof EventsError) || error.serverCode !== WRONG_LAST_SEQUENCE) throw error;
        if (copy > MAX_COPIES) throw error;
        if (await this.#isStored(subject, header, body)) return;
        logger.warn(
          `a message of somebody else has the subject '${subject}': the dead letter takes another one`,
        );
      }
    }
  }

  /** Whether the message on this subject is this dead letter, as far as two writers of it would agree. */
  async #isStored(subject: string, header: Uint8Array, body: Uint8Array): Promise<boolean> {
    const { link, clusterId, logger } = this.parts;
    try {
      const stored = await storedMessage(link.nc, deadLetterStream(clusterId), { last_by_subj: subject });
      if (stored === undefined || !stored.body.equals(body)) return false;
      return identityOf(stored.header) === identityOf(header);
    } catch (error) {
      // Written twice is better than not at all.
      logger.warn(`the message at '${subject}' could not be compared with a dead letter: ${textOf(error)}`);
      return false;
    }
  }
}

/** The headers without the failure, which differs where two processes gave the event up. */
function identityOf(header: Uint8Array): string {
  const headers = decodeHeaders(header, MAX_DEAD_LETTER_BLOCK) ?? emptyHeaders();
  const entries = Object.entries(headers).filter(([key]) => !/^(?:event-failure-|nats-)/i.test(key));
  return JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
