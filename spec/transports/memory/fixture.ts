import { ACK, type Settlement } from '../../../lib/core/settlement';
import type {
  Delivery,
  OutboundMessage,
  SubscriptionSpec,
  TransportSubscription,
} from '../../../lib/core/transport';
import {
  createMemoryTransport,
  type MemoryTransport,
  type MemoryTransportOptions,
} from '../../../lib/transports/memory';
import { ManualClock } from '../../support/manual-clock';

/** What was said to a logger, by level. */
export class RecordedLog {
  readonly errors: string[] = [];
  readonly warnings: string[] = [];
  error = (message: string): void => void this.errors.push(message);
  warn = (message: string): void => void this.warnings.push(message);
  log = (): void => {};
  debug = (): void => {};
}

/** Applications at one broker, with one clock that stands still. All are closed by `end`. */
export class Setup {
  readonly clock = new ManualClock();
  readonly log = new RecordedLog();
  readonly #name = `spec-${Math.random()}`;
  readonly #transports: MemoryTransport[] = [];
  #published = 0;

  async app(options: Partial<MemoryTransportOptions> = {}): Promise<MemoryTransport> {
    const transport = createMemoryTransport({
      clusterId: 'shop',
      name: this.#name,
      delivery: 'durable',
      logger: this.log,
      clock: this.clock,
      ...options,
    });
    this.#transports.push(transport);
    await transport.connect();
    return transport;
  }

  message(text: string, more: Partial<OutboundMessage> = {}): OutboundMessage {
    const messageId = `message ${++this.#published}`;
    return { name: 'order.placed', messageId, headers: {}, body: Buffer.from(text), ...more };
  }

  async end(): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close()));
  }
}

export const DURABLE: SubscriptionSpec = {
  app: 'mail',
  handler: 'Mail.send',
  durable: 'mail__Mail-send',
  patterns: ['order.placed'],
  delivery: 'durable',
  broadcast: false,
  startFrom: 'new',
  concurrency: 1,
  maxDeliveries: 4,
};

export const EPHEMERAL: SubscriptionSpec = { ...DURABLE, delivery: 'ephemeral' };

export const retry = (delay: number): Settlement => ({ kind: 'retry', delay });

export const DEAD: Settlement = {
  kind: 'dead-letter',
  failure: { reason: 'non_retryable', type: 'TypeError', message: 'no such account' },
};

type Answer = (delivery: Delivery) => Settlement | Promise<Settlement>;

/** A subscribed handler, whose deliveries a test can await. */
export class Handler {
  readonly deliveries: Delivery[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #held: ((settlement: Settlement) => void)[] = [];
  subscription!: TransportSubscription;

  private constructor(private readonly answer: Answer) {}

  /** Subscribes and starts. */
  static async on(
    transport: MemoryTransport,
    spec: Partial<SubscriptionSpec> = {},
    answer: Answer = () => ACK,
  ): Promise<Handler> {
    const handler = await Handler.bound(transport, spec, answer);
    handler.subscription.start();
    return handler;
  }

  /** Subscribes without starting. */
  static async bound(
    transport: MemoryTransport,
    spec: Partial<SubscriptionSpec> = {},
    answer: Answer = () => ACK,
  ): Promise<Handler> {
    const handler = new Handler(answer);
    handler.subscription = transport.subscribe({ ...DURABLE, ...spec }, (delivery) =>
      handler.#take(delivery),
    );
    return handler;
  }

  /** Subscribes and starts a handler that keeps each delivery until `settle`. */
  static async holding(transport: MemoryTransport, spec: Partial<SubscriptionSpec> = {}): Promise<Handler> {
    const handler: Handler = await Handler.on(
      transport,
      spec,
      () => new Promise((resolve) => handler.#held.push(resolve)),
    );
    return handler;
  }

  get texts(): string[] {
    return this.deliveries.map(({ body }) => Buffer.from(body).toString());
  }

  get attempts(): number[] {
    return this.deliveries.map(({ attempt }) => attempt);
  }

  /** Settles the oldest delivery that is held. */
  settle(settlement: Settlement): void {
    this.#held.shift()?.(settlement);
  }

  /** The texts received, once there are `count`. */
  async received(count: number): Promise<string[]> {
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (this.deliveries.length < count) return;
        this.#watchers.delete(check);
        resolve();
      };
      this.#watchers.add(check);
      check();
    });
    return this.texts;
  }

  async #take(delivery: Delivery): Promise<Settlement> {
    this.deliveries.push(delivery);
    for (const check of this.#watchers) check();
    return this.answer(delivery);
  }
}
