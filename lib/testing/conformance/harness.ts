import type { DeadLetterFilter } from '../../core/dead-letter-filter';
import type { DeadLetter } from '../../core/dead-letter-reading';
import { decoding } from '../../core/decoding';
import type { EmitLimits } from '../../core/emit-gate';
import type { EmittedData, EventContext, EventHandler, EventName } from '../../core/event-map';
import type { EmitOptions } from '../../core/emitter';
import { EventService } from '../../core/event-service';
import type { EventSubscription } from '../../core/subscriptions';
import type { SubscribeOptions } from '../../core/handler-definition';
import type { EventHeaders } from '../../core/headers';
import { JsonCodec } from '../../core/json-codec';
import type { EventsLogger } from '../../core/logger';
import type { EmitReceipt } from '../../core/middleware';
import type { RetryPolicy } from '../../core/retry-policy';
import type { EventTransport } from '../../core/transport';
import { Correlation } from '../../middleware';
import { Collector, eventually } from './collector';
import { Gate } from './gate';
import type { StoredDeadLetter, TransportFeatures, TransportUnderTest } from './transport-under-test';

/** One attempt to handle an event. */
export interface Received {
  readonly data: unknown;
  readonly context: EventContext;
}

// Short, and without chance: the suite asks when something happens, not how long policies are.
const RETRY: RetryPolicy = { attempts: 5, delay: 40, backoff: 'fixed', maxDelay: 1000, jitter: 0 };

const PENDING_EMITS: EmitLimits = { inFlight: 4096, waiting: 100_000, bytes: 256 * 1024 * 1024 };

// Handlers of the suite fail on purpose.
const SILENT: EventsLogger = { error: () => {}, warn: () => {}, log: () => {}, debug: () => {} };

/** What may differ between the instances of a test. */
export interface InstanceOptions {
  /** Milliseconds. Default: 10000. */
  readonly shutdownTimeout?: number;
  /** Default: 5. */
  readonly maxRedrives?: number;
  /** Default: more than a test emits. */
  readonly pendingEmits?: EmitLimits;
}

/** What one test works with: service instances on the broker of this test, all of them closed at its end. */
export class Harness {
  readonly #instances: ServiceInstance[] = [];
  readonly #gates: Gate[] = [];

  constructor(
    private readonly underTest: TransportUnderTest,
    private readonly features: TransportFeatures,
  ) {}

  /** Another running instance of the service `app`. */
  async service(app: string, options: InstanceOptions = {}): Promise<ServiceInstance> {
    const instance = await this.boundService(app, options);
    instance.events.start();
    return instance;
  }

  /** The same, connected, but before its application has started: delivery waits for `events.start()`. */
  async boundService(app: string, options: InstanceOptions = {}): Promise<ServiceInstance> {
    const transport = this.transport(app);
    const codec = new JsonCodec();
    const correlation = new Correlation({ logger: SILENT });
    const events = new EventService({
      transport,
      codec,
      stages: [correlation, decoding(codec)],
      handling: () => correlation.handling,
      defaults: {
        app,
        delivery: this.features.durable ? 'durable' : 'ephemeral',
        retry: RETRY,
        concurrency: 100,
        timeout: 30_000,
      },
      shutdownTimeout: options.shutdownTimeout ?? 10_000,
      maxRedrives: options.maxRedrives ?? 5,
      pendingEmits: options.pendingEmits ?? PENDING_EMITS,
      publishTimeout: 10_000,
      consume: true,
      logger: SILENT,
    });
    const instance = new ServiceInstance(app, events, transport);
    this.#instances.push(instance);
    await transport.connect();
    return instance;
  }

  /** A transport alone, not yet connected; closing it is the test's. */
  transport(app: string): EventTransport {
    return this.underTest.create(app);
  }

  gate(): Gate {
    const gate = new Gate();
    this.#gates.push(gate);
    return gate;
  }

  /** All dead letters, once there are at least `count`. */
  deadLetters(count: number): Promise<readonly StoredDeadLetter[]> {
    return eventually(
      () => this.underTest.deadLetters(),
      (letters) => letters.length >= count,
      (letters) => `there are ${letters.length} dead letters instead of ${count}`,
    );
  }

  /** Lets go what is held and closes everything, even when a part of it fails. @throws the first failure */
  async end(): Promise<void> {
    for (const gate of this.#gates) gate.open();
    const drained = await Promise.allSettled(this.#instances.map(({ events }) => events.drain()));
    await this.underTest.dispose();
    const failed = drained.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
}

/** One instance of a service. Its methods take any name and data, whatever `EventMap` declares. */
export class ServiceInstance {
  #rawMessages = 0;

  constructor(
    readonly app: string,
    readonly events: EventService,
    readonly transport: EventTransport,
  ) {}

  emit(name: string, data: unknown, options?: EmitOptions): Promise<EmitReceipt> {
    // Needed where the program that compiles this augments EventMap.
    // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-assertion
    return this.events.emit(name as EventName, data as EmittedData<EventName>, options);
  }

  /** Emits one after the other, each when the one before is stored. */
  async emitInOrder(name: string, data: Iterable<unknown>): Promise<EmitReceipt[]> {
    const receipts: EmitReceipt[] = [];
    for (const item of data) receipts.push(await this.emit(name, item));
    return receipts;
  }

  /** Sends what no `emit` would. */
  publishRaw(name: string, headers: EventHeaders, body: string | Uint8Array): Promise<unknown> {
    const messageId = `raw:${this.app}:${++this.#rawMessages}`;
    return this.transport.publish({ name, messageId, headers, body: Buffer.from(body) });
  }

  on(
    patterns: string | readonly string[],
    handler: EventHandler,
    options: SubscribeOptions = {},
  ): Promise<EventSubscription> {
    const list = typeof patterns === 'string' ? [patterns] : patterns;
    return this.events.bind({ name: options.name ?? list.join(' '), patterns: list, handler, options });
  }

  /** Subscribes and collects every attempt, before `handler`, if there is one, decides how it ends. */
  async collect(
    patterns: string | readonly string[],
    options: SubscribeOptions = {},
    handler?: EventHandler,
  ): Promise<Collector<Received>> {
    const collector = new Collector<Received>(
      `events of '${options.name ?? String(patterns)}' in ${this.app}`,
      ({ data, context }) => `${context.name} ${JSON.stringify(data)} (attempt ${context.attempt})`,
    );
    await this.on(
      patterns,
      (data, context) => {
        collector.add({ data, context });
        return handler?.(data, context);
      },
      options,
    );
    return collector;
  }
}

/** The dead letters that the service finds, at most 1000, as soon as there are exactly so many. */
export async function untilDead(
  { events }: ServiceInstance,
  count: number,
  filter: DeadLetterFilter = {},
): Promise<readonly DeadLetter[]> {
  const page = await eventually(
    () => events.deadLetters.list({ ...filter, limit: 1000 }),
    ({ items }) => items.length === count,
    ({ items }) => `there are ${items.length} dead letters instead of ${count}`,
  );
  return page.items;
}
