import { randomUUID } from 'node:crypto';
import { EventsConfigurationError } from '../../core/errors';
import type { InboundEvent } from '../../core/inbound-event';
import type { Stage } from '../../core/middleware';
import type { Settlement } from '../../core/settlement';
import type {
  Consumer,
  Delivery,
  OutboundMessage,
  PublishReceipt,
  SubscriptionSpec,
} from '../../core/transport';
import type { MemoryTransport } from '../../transports/memory';
import { DeliberateFailures } from './deliberate-failures';
import { InFlight } from './in-flight';
import { ManualClock } from './manual-clock';
import type { TransportObserver } from './observed-transport';
import { Records } from './records';
import { resolveTestOptions, type ResolvedTestOptions, type TestOptions } from './test-options';

/** Sees, and meddles with, what happens to the events of the applications of one test. */
export class Observation implements TransportObserver {
  readonly options: ResolvedTestOptions;
  readonly clock: ManualClock;
  readonly records = new Records();
  readonly inFlight: InFlight;
  /** The broker that the applications share. */
  readonly url = `memory://test-${randomUUID()}`;
  readonly #failures: DeliberateFailures;
  readonly #handlers = new Set<string>();
  /** Attempts under way, from when they enter the pipeline, with what was thrown in them. */
  readonly #attempts = new WeakMap<Delivery, { readonly event: InboundEvent; error?: unknown }>();
  /** Events that were delivered a second time, by durable. */
  readonly #doubled = new Map<string, Set<string>>();
  #started = false;

  constructor(options?: TestOptions) {
    this.options = resolveTestOptions(options);
    this.clock = new ManualClock(this.options.now);
    this.inFlight = new InFlight(this.clock);
    this.#failures = new DeliberateFailures(this.options.fail);
  }

  /** Called before everything else on the way out, and on the way in. */
  readonly outermost: Stage = {
    publish: (event, next) => this.inFlight.emitting(event, () => next(event)),
    consume: async (event, next) => {
      const attempt: { event: InboundEvent; error?: unknown } = { event };
      this.#attempts.set(event.delivery, attempt);
      try {
        return await next(event);
      } catch (error) {
        attempt.error = error;
        throw error;
      }
    },
  };

  readonly innermost: Stage = {
    consume: async (event, next) => {
      const { delivery } = event;
      const spec = this.inFlight.specOf(delivery);
      const failure = spec && this.#failures.of(spec, delivery);
      if (failure !== undefined) throw failure;
      return next(event);
    },
  };

  connected(transport: MemoryTransport): void {
    this.inFlight.connected(transport);
  }

  closed(transport: MemoryTransport): void {
    if (!this.inFlight.closed(transport)) return;
    // With its last application the broker is gone: the next one begins a new stream.
    this.#doubled.clear();
    this.#handlers.clear();
    this.#started = false;
  }

  stored(message: OutboundMessage, receipt: PublishReceipt): void {
    this.records.stored(message, receipt, this.clock.now());
  }

  consumer(spec: SubscriptionSpec, consumer: Consumer): Consumer {
    this.#handlers.add(spec.handler);
    const run = (delivery: Delivery): Promise<Settlement> => this.#attempt(spec, delivery, consumer);
    if (!this.options.duplicate) return run;
    // Each instance of a broadcast has its own deliveries; those of a durable share theirs.
    const doubled = (!spec.broadcast && this.#doubled.get(spec.durable)) || new Set<string>();
    this.#doubled.set(spec.durable, doubled);
    return async (delivery) => {
      // A broker counts the delivery that it repeated; so do those after it.
      const again = doubled.has(delivery.fallbackId);
      const first = again ? { ...delivery, attempt: delivery.attempt + 1 } : delivery;
      const settlement = await run(first);
      if (settlement.kind !== 'ack' || again) return settlement;
      doubled.add(delivery.fallbackId);
      return run({ ...delivery, attempt: delivery.attempt + 1 });
    };
  }

  /** An application has started. */
  started(): void {
    this.#started = true;
  }

  /** @throws Error if the test cannot mean what it says */
  assertReady(): void {
    if (!this.#started) {
      throw new Error(
        'no application of this test has started, so that nothing is handled: call `await app.init()` first',
      );
    }
    const unknown = this.#failures.handlers.find((name) => !this.#handlers.has(name));
    if (unknown === undefined) return;
    throw new EventsConfigurationError(
      'test.fail.handlers',
      `\`test.fail.handlers\` names '${unknown}', and the handlers are: ${[...this.#handlers].join(', ') || 'none'}`,
    );
  }

  #attempt(spec: SubscriptionSpec, delivery: Delivery, consumer: Consumer): Promise<Settlement> {
    return this.inFlight.attempting(delivery, spec, async () => {
      const settlement = await consumer(delivery);
      const attempt = this.#attempts.get(delivery);
      if (attempt !== undefined) this.records.attempted(spec, attempt.event, settlement, attempt.error);
      return settlement;
    });
  }
}
