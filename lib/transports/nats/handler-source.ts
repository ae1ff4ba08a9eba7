import type { ConsumerInfo, Msg } from 'nats';
import type { Failure, Settlement } from '../../core/settlement';
import type { Consumer, Delivery, SubscriptionSpec } from '../../core/transport';
import { millisOf, type AckInfo } from './ack-subject';
import type { CrashGuard } from './crash-guard';
import type { DeadLetters } from './dead-letters';
import type { Durables } from './durables';
import type { HandlerSlots } from './handler-slots';
import { NatsDelivery } from './nats-delivery';
import type { Position, PullSource } from './pull-source';

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
    this.ackFloor = info.ack_floor.stream_seq;
    this.label = spec.durable;
    this.concurrency = spec.concurrency;
  }

  toDelivery(msg: Msg, { sequence, deliveries, timestamp }: AckInfo): Delivery {
    return new NatsDelivery(msg, this.stream, `${this.stream}-${sequence}`, deliveries, millisOf(timestamp));
  }

  consume(delivery: Delivery, position: Position): Promise<Settlement> {
    return this.slots.run(() => this.parts.crashGuard.run(this.spec, delivery, position, this.handle));
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
