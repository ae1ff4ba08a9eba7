import type { ConsumerInfo } from 'nats';
import type { JetStream } from './jetstream';
import type { PullSubscription } from './pull-subscription';
import { RetrySource, type BoundHandler } from './retry-source';

const AT_ONCE = 10;

/** What is redriven to this service: one subscription for all its handlers, there as long as there are any. */
export class Redeliveries {
  readonly #app: string;
  readonly #clusterId: string;
  /** The handlers that something can be redriven to, by durable. */
  readonly #handlers = new Map<string, BoundHandler>();
  #subscription: PullSubscription | undefined;
  #ready: Promise<void> | undefined;

  constructor({ app, clusterId }: { app: string; clusterId: string }) {
    this.#app = app;
    this.#clusterId = clusterId;
  }

  /** Durables of the handlers. */
  get durables(): ReadonlySet<string> {
    return new Set(this.#handlers.keys());
  }

  get subscription(): PullSubscription | undefined {
    return this.#subscription;
  }

  /** Resolves when the server has a consumer for what is redriven. @throws EventsError `duplicate_handler` and others */
  ensure(jetStream: JetStream): Promise<void> {
    this.#ready ??= this.#prepare(jetStream);
    this.#ready.catch(() => (this.#ready = undefined));
    return this.#ready;
  }

  add(handler: BoundHandler): void {
    this.#handlers.set(handler.spec.durable, handler);
  }

  start(): void {
    this.#subscription?.start();
  }

  /** With the last handler, what was redriven to this service has nowhere to go; the next one begins anew. */
  async remove(durable: string, timeout: number, jetStream: Promise<JetStream> | undefined): Promise<void> {
    this.#handlers.delete(durable);
    if (this.#handlers.size > 0) return;
    const subscription = this.#subscription;
    await subscription?.stop(timeout);
    if (subscription === undefined || this.#subscription !== subscription) return;
    this.#subscription = undefined;
    this.#ready = undefined;
    if (this.#handlers.size === 0 || jetStream === undefined) return;
    // A handler that came meanwhile found the one that was stopping.
    await this.ensure(await jetStream);
    this.start();
  }

  async #prepare(jetStream: JetStream): Promise<void> {
    const { durables, deadLetters, crashGuard } = jetStream;
    const recreate = (): Promise<ConsumerInfo> => durables.ensureRetries(this.#app);
    const parts = {
      clusterId: this.#clusterId,
      handlers: this.#handlers,
      deadLetters,
      crashGuard,
      concurrency: AT_ONCE,
      examine: (info: ConsumerInfo) => durables.examineRetries(this.#app, info),
      recreate,
    };
    this.#subscription = jetStream.consume(new RetrySource(parts, await recreate()));
  }
}
