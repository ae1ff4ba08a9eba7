import { decodeData } from '../../core/decoding';
import { emptyHeaders, foldKey } from '../../core/headers';
import { InboundEvent } from '../../core/inbound-event';
import { JsonCodec } from '../../core/json-codec';
import type { Settlement } from '../../core/settlement';
import type { OutboundMessage, PublishReceipt, SubscriptionSpec } from '../../core/transport';
import type { DeadLetteredEvent, EmittedEvent, FailedEvent, HandledEvent } from './event-records';

/** What happened to events, each list in the order in which it happened. */
export class Records {
  readonly #codec = new JsonCodec();
  emitted: EmittedEvent[] = [];
  handled: HandledEvent[] = [];
  failed: FailedEvent[] = [];
  deadLettered: DeadLetteredEvent[] = [];

  clear(): void {
    this.emitted = [];
    this.handled = [];
    this.failed = [];
    this.deadLettered = [];
  }

  stored(
    { name, headers: sent, body, messageId }: OutboundMessage,
    receipt: PublishReceipt,
    at: number,
  ): void {
    const headers = emptyHeaders();
    for (const [key, value] of Object.entries(sent)) headers[foldKey(key)] = value;
    const subject = name;
    const delivery = { subject, name, headers, body, attempt: 1, storedAt: at, fallbackId: messageId };
    const event = new InboundEvent(delivery, '', 0);
    const data = decodeData(this.#codec, headers, body, subject);
    this.emitted.push({ ...attributesOf(event), data, receipt });
  }

  /** @param error what was thrown, if the attempt failed */
  attempted(spec: SubscriptionSpec, event: InboundEvent, settlement: Settlement, error: unknown): void {
    const { data, attempt, subscription } = event;
    const record = { ...attributesOf(event), data, app: spec.app, subscription };
    if (settlement.kind === 'ack') this.handled.push({ ...record, attempt });
    else this.failed.push({ ...record, attempt, error, settlement });
    if (settlement.kind !== 'dead-letter') return;
    this.deadLettered.push({ ...record, ...settlement.failure, attempts: attempt });
  }
}

const attributesOf = ({ id, name, source, time, correlationId, causationId, headers }: InboundEvent) => ({
  id,
  name,
  source,
  time,
  correlationId,
  causationId,
  // With the prototype of an ordinary object, for strict comparisons.
  headers: { ...headers },
});
