import type { ConsumerInfo } from 'nats';
import type { ReceivedMessage } from './received-message';
import { matches } from '../../core/event-name';
import type { Failure, Settlement } from '../../core/settlement';
import type { Consumer, Delivery, SubscriptionSpec } from '../../core/transport';
import type { AckInfo } from './ack-subject';
import type { CrashGuard } from './crash-guard';
import type { DeadLetters } from './dead-letters';
import { floorOf, type Durables } from './durables';
import type { HandlerSlots } from './handler-slots';
import { StreamDelivery } from './nats-delivery';
import { GIVE_UP, HAND_BACK, HAND_BACKS, type Handling, type Position, type PullSource } from './pull-source';

/** Another instance that knows the event is likely to get it next; milliseconds, and how often. */
const QUICK_HAND_BACK = 1000;
const QUICK_HAND_BACKS = 10;

/** The events of one handler, from the event stream. */
export class HandlerSource implements PullSource {
  readonly consumer: string;
  readonly ackFloor: number;
  readonly label: string;
  readonly concurrency: number;

  constructor(
    readonly stream: string,
    private readonly spec: SubscriptionSpec,
    info: ConsumerInfo,
    private readonly handle: Consumer,
    private readonly slots: HandlerSlots,
    private readonly parts: { durables: Durables; deadLetters: DeadLetters; crashGuard: CrashGuard },
  ) {
    this.consumer = info.name;
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
      return Promise.resolve(this.#handBack(delivery));
    const { crashGuard } = this.parts;
    if (this.slots.tryEnter()) {
      if (crashGuard.tryEnter(this.spec, delivery)) {
        handling.leave = this.#leave;
        return this.handle(delivery);
      }
      this.slots.leave();
    }
    return this.slots.run(() => crashGuard.run(this.spec, delivery, handling, this.handle));
  }

  readonly #leave = (): void => {
    this.parts.crashGuard.leave();
    this.slots.leave();
  };

  #handBack({ attempt, name }: Delivery): Settlement {
    if (attempt <= QUICK_HAND_BACKS + HAND_BACKS) {
      return { kind: 'retry', delay: attempt <= QUICK_HAND_BACKS ? QUICK_HAND_BACK : HAND_BACK };
    }
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
    if (failure.reason === 'crash_loop') await this.parts.crashGuard.forget(this.spec, position);
  }

  async recreate(fromSequence: number): Promise<string> {
    const { durables } = this.parts;
    const info = this.spec.broadcast
      ? await durables.createBroadcast(this.spec, this.consumer, fromSequence)
      : await durables.recreate(this.spec, fromSequence);
    return info.name;
  }

  async stopped(consumer: string): Promise<void> {
    if (this.spec.broadcast) await this.parts.durables.remove(consumer);
  }
}
