import type { ConsumerInfo } from 'nats';
import type { ReceivedMessage } from './received-message';
import { redrivesOf } from '../../core/dead-letter';
import { placeId } from '../../core/event-id';
import { matches } from '../../core/event-name';
import { durableOfRetry, eventNameOf, eventSubject, NO_NAME, retryStream } from '../../core/names';
import type { Failure, Settlement } from '../../core/settlement';
import { isSubject } from '../../core/subject';
import type { Consumer, Delivery, SubscriptionSpec } from '../../core/transport';
import { millisOf, type AckInfo } from './ack-subject';
import type { AttemptRecords } from './attempt-records';
import type { CrashGuard } from './crash-guard';
import type { DeadLetters } from './dead-letters';
import type { ConsumerVerdict } from './durables';
import type { HandlerSlots } from './handler-slots';
import { MAX_DEAD_LETTER_BLOCK } from './header-block';
import { NatsDelivery } from './nats-delivery';
import { HandOns } from './hand-ons';
import { GIVE_UP, type Handling, type Position, type PullSource } from './pull-source';

/** Milliseconds until a handler that is paused or full is tried again. */
const CROWDED_RETRY = 5000;

export interface BoundHandler {
  readonly spec: SubscriptionSpec;
  readonly consumer: Consumer;
  readonly slots: HandlerSlots;
}

export interface RetryParts {
  readonly clusterId: string;
  /** The handlers of this instance, by durable. */
  readonly handlers: ReadonlyMap<string, BoundHandler>;
  readonly deadLetters: DeadLetters;
  readonly crashGuard: CrashGuard;
  readonly concurrency: number;
  readonly examine: (info: ConsumerInfo) => Promise<ConsumerVerdict>;
  readonly recreate: () => Promise<ConsumerInfo>;
}

/** What was redriven to the handlers of this service: each goes through the pipeline of its own handler. */
export class RetrySource implements PullSource {
  readonly stream: string;
  readonly consumer: string;
  readonly created: string;
  readonly ackFloor: number;
  readonly label: string;
  readonly concurrency: number;
  readonly #handOns = new HandOns();

  constructor(
    private readonly parts: RetryParts,
    info: ConsumerInfo,
  ) {
    this.stream = retryStream(parts.clusterId);
    this.consumer = info.name;
    this.created = info.created;
    this.ackFloor = info.ack_floor.stream_seq;
    this.label = `re-deliveries to ${info.name}`;
    this.concurrency = parts.concurrency;
  }

  toDelivery(msg: ReceivedMessage, { sequence, deliveries, timestamp }: AckInfo): RedrivenDelivery {
    const { clusterId } = this.parts;
    const raw = new NatsDelivery(
      msg,
      clusterId,
      placeId(this.stream, sequence, millisOf(timestamp)),
      deliveries,
      millisOf(timestamp),
      MAX_DEAD_LETTER_BLOCK,
    );
    const origin = originOf(raw, clusterId);
    const isNamed = isSubject(origin.subject);
    const subject = isNamed ? origin.subject : eventSubject(clusterId, NO_NAME);
    return {
      durable: durableOfRetry(clusterId, msg.subject),
      origin,
      isNamed,
      subject,
      name: eventNameOf(clusterId, subject),
      headers: raw.headers,
      body: raw.body,
      attempt: deliveries,
      storedAt: origin.storedAt,
      fallbackId: placeId(origin.stream, origin.sequence, origin.storedAt),
      malformed: raw.malformed,
    };
  }

  async consume(delivery: Delivery, handling: Handling): Promise<Settlement> {
    const { durable, isNamed, name } = delivery as RedrivenDelivery;
    const bound = this.parts.handlers.get(durable);
    // What has no name can only be for the handler it was sent to.
    const takes = (pattern: string): boolean => !isNamed || pattern === name || matches(pattern, name);
    if (bound?.spec.patterns.some(takes) === true) {
      const { spec, consumer, slots } = bound;
      if (slots.crowded) return { kind: 'retry', delay: CROWDED_RETRY };
      const { crashGuard } = this.parts;
      const attempts = crashGuard.attemptsOf(spec, this.stream);
      return slots.run(() => Promise.resolve(crashGuard.run(attempts, delivery, handling, consumer)));
    }
    // Another instance, of another version, may take it.
    const delay = this.#handOns.next(handling);
    if (delay !== undefined) return { kind: 'retry', delay };
    const what = bound === undefined ? `had a handler for '${durable}'` : `taken '${name}' for '${durable}'`;
    const message = `no instance of the service has ${what} for ${GIVE_UP / 60_000} minutes`;
    return { kind: 'dead-letter', failure: { reason: 'no_handler', type: 'NoHandler', message } };
  }

  async deadLetter(
    delivery: Delivery,
    failure: Failure,
    position: Position,
    firstFailedAt: number,
  ): Promise<void> {
    const { durable, origin, headers } = delivery as RedrivenDelivery;
    const spec = this.parts.handlers.get(durable)?.spec ?? {
      durable,
      app: headers['Event-Origin-App'] ?? '',
      handler: headers['Event-Origin-Handler'] ?? '',
    };
    await this.parts.deadLetters.write(delivery, spec, failure, {
      ...origin,
      firstFailedAt,
      redrives: redrivesOf(headers),
      // The place in the retry stream is the identity here: the dead letter it comes from may still be there.
      identity: position,
    });
    if (failure.reason === 'crash_loop')
      this.parts.crashGuard.attemptsOf(spec, this.stream).settled(position);
  }

  async handBack(): Promise<void> {
    await Promise.all(this.#records.map((records) => records.handedBackAll()));
  }

  settledTo(floor: number): void {
    for (const records of this.#records) records.settledTo(floor);
    this.#handOns.settledTo(floor);
  }

  forget(): void {
    for (const records of this.#records) records.clear();
    this.#handOns.settledTo(Infinity);
  }

  get #records(): AttemptRecords[] {
    const { handlers, crashGuard } = this.parts;
    return [...handlers.values()].map(({ spec }) => crashGuard.attemptsOf(spec, this.stream));
  }

  examine(info: ConsumerInfo): Promise<ConsumerVerdict> {
    return this.parts.examine(info);
  }

  recreate(): Promise<ConsumerInfo> {
    return this.parts.recreate();
  }
}

interface Origin {
  readonly stream: string;
  readonly sequence: number;
  readonly timestamp: string;
  readonly subject: string;
  readonly storedAt: number;
}

interface RedrivenDelivery extends Delivery {
  readonly durable: string;
  readonly origin: Origin;
  /** Its origin is a subject: it has the name of an event. */
  readonly isNamed: boolean;
}

/** Where the event came from at first; it is told again if it fails again. */
function originOf({ headers, storedAt }: NatsDelivery, clusterId: string): Origin {
  const time = Date.parse(headers['Event-Origin-Time'] ?? '');
  return {
    stream: headers['Event-Origin-Stream'] ?? clusterId,
    sequence: Number(headers['Event-Origin-Sequence'] ?? 0) || 0,
    timestamp: '',
    subject: headers['Event-Origin-Subject'] ?? '',
    storedAt: Number.isNaN(time) ? storedAt : time,
  };
}
