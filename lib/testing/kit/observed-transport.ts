import { clearTimeout, setTimeout } from 'node:timers';
import type { DeadLetterStore, Orphan } from '../../core/dead-letter-store';
import type {
  Consumer,
  EventTransport,
  OutboundMessage,
  PublishReceipt,
  SubscriptionSpec,
  TransportStatus,
  TransportSubscription,
} from '../../core/transport';
import type { MemoryTransport } from '../../transports/memory';

/** Who is told what a transport does. */
export interface TransportObserver {
  connected(transport: MemoryTransport): void;
  closed(transport: MemoryTransport): void;
  stored(message: OutboundMessage, receipt: PublishReceipt): void;
  /** The consumer to use in the place of a subscription's own. */
  consumer(spec: SubscriptionSpec, consumer: Consumer): Consumer;
}

/** The memory transport, with somebody watching. */
export class ObservedTransport implements EventTransport {
  constructor(
    private readonly transport: MemoryTransport,
    private readonly observer: TransportObserver,
  ) {}

  async connect(): Promise<void> {
    await this.transport.connect();
    this.observer.connected(this.transport);
  }

  async publish(message: OutboundMessage): Promise<PublishReceipt> {
    const receipt = await this.transport.publish(message);
    this.observer.stored(message, receipt);
    return receipt;
  }

  subscribe(spec: SubscriptionSpec, consumer: Consumer): TransportSubscription {
    const subscription = this.transport.subscribe(spec, this.observer.consumer(spec, consumer));
    return {
      start: () => subscription.start(),
      limit: (concurrency) => subscription.limit(concurrency),
      stop: (timeout) => stopInRealTime(subscription, timeout),
    };
  }

  status(): TransportStatus {
    return this.transport.status();
  }

  get deadLetters(): DeadLetterStore | undefined {
    return this.transport.deadLetters;
  }

  orphans(): Promise<Orphan[]> {
    return this.transport.orphans();
  }

  async close(): Promise<void> {
    await this.transport.close();
    this.observer.closed(this.transport);
  }
}

/** Nobody moves the clock while an application closes. */
async function stopInRealTime(subscription: TransportSubscription, timeout: number): Promise<void> {
  const timer = setTimeout(() => void subscription.stop(0), timeout);
  try {
    await subscription.stop(timeout);
  } finally {
    clearTimeout(timer);
  }
}
