import type { ConsumerInfo } from 'nats';
import type { ReceivedMessage } from './received-message';
import { matches } from '../../core/event-name';
import type { Failure, Settlement } from '../../core/settlement';
import type { Consumer, Delivery, SubscriptionSpec } from '../../core/transport';
import type { AckInfo } from './ack-subject';
import type { AttemptRecords } from './attempt-records';
import type { CrashGuard } from './crash-guard';
import type { DeadLetters } from './dead-letters';
import { filtersOf, floorOf } from './consumer-config';
import type { ConsumerVerdict, Durables, KnownConsumer } from './durables';
import { HandOns } from './hand-ons';
import type { HandlerSlots } from './handler-slots';
import { StreamDelivery } from './nats-delivery';
import { GIVE_UP, type Handling, type Position, type PullSource } from './pull-source';

/** The events of one handler, from the event stream. */
export class HandlerSource implements PullSource {
  readonly consumer: string;
  readonly created: string;
  readonly ackFloor: number;
  readonly label: string;
  readonly concurrency: number;
  readonly #handOns = new HandOns();
  #attempts: AttemptRecords | undefined = undefined;
  /** The subjects that the durable took when it was last seen: of this version and of others. */
  #filters: readonly string[];

  constructor(
    readonly stream: string,
    private readonly spec: SubscriptionSpec,
    info: ConsumerInfo,
    private readonly handle: Consumer,
    private readonly slots: HandlerSlots,
    private readonly parts: { durables: Durables; deadLetters: DeadLetters; crashGuard: CrashGuard },
  ) {
    this.consumer = info.name;
    this.created = info.created;
    this.#filters = filtersOf(info.config);
    this.ackFloor = floorOf(info);
    this.label = spec.durable;
    this.concurrency = spec.concurrency;
  }

  toDelivery(msg: ReceivedMessage, info: AckInfo): Delivery {
    return new StreamDelivery(msg, this.stream, info);
  }

  consume(delivery: Delivery, handling: Handling): PromiseLike<Settlement> {
    // The durable takes what any version of the handler asked for.
    const { name } = delivery;
    if (!this.spec.patterns.some((pattern) => pattern === name || matches(pattern, name)))
      return Promise.resolve(this.#handOn(delivery, handling));
    const { crashGuard } = this.parts;
    if (this.slots.tryEnter()) {
      if (crashGuard.tryEnter(delivery)) {
        handling.leave = this.#leave;
        handling.attempts = this.#records;
        return this.handle(delivery);
      }
      handling.leave = this.slots.leave;
      return crashGuard.run(this.#records, delivery, handling, this.handle);
    }
    return this.slots.run(() =>
      Promise.resolve(crashGuard.run(this.#records, delivery, handling, this.handle)),
    );
  }

  get #records(): AttemptRecords {
    return (this.#attempts ??= this.parts.crashGuard.attemptsOf(this.spec, this.stream));
  }

  readonly #leave = (): void => {
    this.parts.crashGuard.leave();
    this.slots.leave();
  };

  #handOn({ name }: Delivery, position: Position): Settlement {
    const delay = this.#handOns.next(position);
    if (delay !== undefined) return { kind: 'retry', delay };
    const message = `no instance has handled '${name}' for ${GIVE_UP / 60_000} minutes, which '${this.spec.handler}' once asked for`;
    return { kind: 'dead-letter', failure: { reason: 'no_handler', type: 'NoHandler', message } };
  }

  async deadLetter(
    delivery: Delivery,
    failure: Failure,
    position: Position,
    firstFailedAt: number,
  ): Promise<void> {
    await this.parts.deadLetters.write(delivery, this.spec, failure, {
      stream: this.stream,
      subject: delivery.subject,
      storedAt: delivery.storedAt,
      firstFailedAt,
      ...position,
    });
    if (failure.reason === 'crash_loop') this.#records.settled(position);
  }

  async handBack(): Promise<void> {
    await this.#records.handedBackAll();
  }

  settledTo(floor: number): void {
    this.#records.settledTo(floor);
    this.#handOns.settledTo(floor);
  }

  forget(): void {
    this.#records.clear();
    this.#handOns.settledTo(Infinity);
  }

  async examine(info: ConsumerInfo, known: KnownConsumer): Promise<ConsumerVerdict> {
    const verdict = await this.parts.durables.examine(this.spec, info, known);
    if ('info' in verdict) this.#filters = filtersOf(verdict.info.config);
    return verdict;
  }

  recreate(fromSequence: number): Promise<ConsumerInfo> {
    const { durables } = this.parts;
    return this.spec.broadcast
      ? durables.createBroadcast(this.spec, this.consumer, fromSequence)
      : durables.recreate(this.spec, fromSequence, this.#filters);
  }

  async stopped(consumer: string): Promise<void> {
    if (this.spec.broadcast) await this.parts.durables.remove(consumer);
  }
}
