import { createInbox, type StreamInfo } from 'nats';
import type { ReceivedMessage } from './received-message';
import { textOf } from '../../core/thrown';
import { whenSettled } from '../../core/pending-settlement';
import type { Settlement } from '../../core/settlement';
import type { TransportSubscription } from '../../core/transport';
import type { AckInfo } from './ack-subject';
import { statusOf } from './header-block';
import { HeldEvents, type Held } from './held-events';
import { DRAIN_LIMIT, pause } from './pause';
import { PullConsumer } from './pull-consumer';
import { PullDemand } from './pull-demand';
import type { PullParts } from './pull-parts';
import type { PullSource } from './pull-source';
import type { SteadySubscription } from './steady-subscription';

/** Milliseconds a pull request lives, and how often the server shows that it still has it. */
const EXPIRES = 30_000;
const HEARTBEAT = 5000;
/** Milliseconds of silence after which a request is taken for lost. */
const SILENCE = 2 * HEARTBEAT + 1000;
/** Milliseconds until an event whose consumer broke its contract is tried again. */
const BROKEN_CONSUMER_RETRY = 1000;
/** Milliseconds until an event that came without its body is delivered again, and how often that is waited for. */
const CUT_RETRY = 1000;
const MAX_CUT_DELIVERIES = 60;
/** Milliseconds a stop spends on what the server would also clean up by itself. */
const CLEAN_UP_LIMIT = 1000;

/** Consumes one JetStream consumer by pull requests, with bounded buffering. */
export class PullSubscription implements TransportSubscription {
  readonly #parts: PullParts;
  readonly #source: PullSource;
  readonly #demand: PullDemand;
  readonly #consumer: PullConsumer;
  readonly #held: HeldEvents;
  readonly #unlisten: () => void;
  readonly #inbox: string;
  #buffer: Held[] = [];
  #running = 0;
  #pumping = false;
  #idle: (() => void) | undefined;
  #subscription: SteadySubscription | undefined;
  #state: 'waiting' | 'started' | 'stopping' | 'stopped' = 'waiting';
  #stopped: Promise<void> | undefined;
  #heardAt = -Infinity;

  constructor(parts: PullParts, source: PullSource) {
    this.#parts = parts;
    this.#source = source;
    this.#demand = new PullDemand(source.concurrency);
    this.#inbox = createInbox(parts.inboxPrefix);
    this.#consumer = new PullConsumer(parts, source, {
      isActive: () => this.#state === 'started',
      isWaiting: () => this.#demand.requested > 0,
      pullAnew: () => {
        this.#held.reconnected();
        this.#demand.reset();
        this.#pump();
      },
      goOn: () => this.#pump(),
      settledTo: (floor) => {
        this.#held.settledTo(floor);
        source.settledTo?.(floor);
      },
      forget: () => {
        this.#buffer = [];
        this.#held.forget();
        source.forget?.();
      },
    });
    this.#held = new HeldEvents(
      parts,
      source,
      () => this.#consumer.streamCreated,
      () => this.#consumer.isCertain,
    );
    this.#unlisten = parts.link.listen({
      disconnected: () => this.#demand.reset(),
      reconnected: () => {
        this.#held.reconnected();
        this.#pullAnew();
      },
    });
  }

  start(): void {
    if (this.#state !== 'waiting') return;
    this.#state = 'started';
    this.#subscription = this.#parts.link.subscribe(this.#inbox, {
      onMessage: (msg) => this.#onMessage(msg),
      onRestored: () => this.#pullAnew(),
    });
    this.#pull();
  }

  limit(concurrency: number): void {
    this.#demand.limit = concurrency;
    this.#pump();
  }

  /** What is wrong with it at this moment. */
  get problem(): string | undefined {
    const problem = this.#consumer.problem ?? this.#held.problem;
    return problem === undefined ? undefined : `'${this.#source.label}': ${problem}`;
  }

  get stream(): string {
    return this.#source.stream;
  }

  /** What it has to be permitted to publish to: where it asks for events, and where it settles. */
  get subjects(): readonly string[] {
    return [this.#consumer.pullSubject, this.#consumer.ackSubject];
  }

  /** The server denies to settle where it is to be settled as far as is known: the first delivery will show more. */
  doubtAckForm(): void {
    this.#consumer.doubtAckForm();
  }

  /** Called once a second by the transport. */
  tick(now: number): void {
    this.#demand.tick();
    this.#held.keepAlive(now);
    if (this.#state !== 'started' || !this.#parts.link.connected) return;
    if (this.#consumer.refused) void this.#consumer.askPermission();
    else if (this.#demand.requested > 0 && now - this.#heardAt > SILENCE)
      this.#consumer.refusedBy('the server went silent');
    else this.#pump();
  }

  /**
   * Looks at its consumer, and finds what is wrong with it.
   * @param stream its stream, as it was some seconds ago
   */
  observe(stream: StreamInfo): Promise<void> {
    return this.#consumer.observe(stream);
  }

  stop(timeout: number): Promise<void> {
    return (this.#stopped ??= this.#stop(timeout));
  }

  #pull(): void {
    if (this.#state !== 'started' || !this.#parts.link.connected || !this.#consumer.usable) return;
    const batch = this.#demand.next(this.#running + this.#buffer.length);
    if (batch === 0) return;
    this.#heardAt = performance.now();
    const request = { batch, expires: EXPIRES * 1e6, idle_heartbeat: HEARTBEAT * 1e6 };
    this.#parts.link.nc.publish(this.#consumer.pullSubject, JSON.stringify(request), { reply: this.#inbox });
  }

  /** For when the requests that were sent are known to be dead. */
  #pullAnew(): void {
    this.#demand.reset();
    this.#pull();
  }

  #onMessage(msg: ReceivedMessage): void {
    // The client must never see an error of ours: it would stop reading for everybody.
    try {
      this.#heardAt = performance.now();
      const info = msg.ackInfo;
      if (info === undefined) this.#onStatus(msg);
      else this.#onDelivery(msg, info);
    } catch (failure) {
      this.#parts.logger.error(`'${this.#source.label}' could not take a message: ${textOf(failure)}`);
    }
  }

  #onDelivery(msg: ReceivedMessage, info: AckInfo): void {
    this.#demand.delivered();
    this.#consumer.served();
    if (this.#state !== 'started') return this.#held.refuse(msg);
    this.#consumer.settlesAt(msg.reply);
    if (msg.isCut && info.deliveries <= MAX_CUT_DELIVERIES) {
      // Its consumer was set to `headers_only`, which is put right.
      this.#held.refuse(msg, CUT_RETRY);
      return this.#pull();
    }
    const held = this.#held.take(msg, info, this.#heardAt);
    if (held === undefined) return;
    this.#buffer.push(held);
    this.#pump();
  }

  #onStatus(msg: ReceivedMessage): void {
    const { code, text, headers } = statusOf(msg);
    if (code === 100 || code === 404 || code === 408) this.#consumer.served();
    if (code === 100) return;
    const left = Number(headers['Nats-Pending-Messages']);
    if (Number.isInteger(left)) this.#demand.returned(left);
    if (code === 404 || code === 408) {
      if (!Number.isInteger(left)) this.#demand.reset();
      this.#pull();
    } else {
      this.#demand.reset();
      this.#consumer.refusedBy(text);
    }
  }

  #pump(): void {
    // Handlers that do nothing asynchronous end within `#run`: the loop goes on, not one within the other.
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#running < this.#demand.limit && this.#state === 'started' && this.#consumer.canSettle) {
      const held = this.#buffer.shift();
      if (held === undefined) break;
      this.#run(held);
    }
    this.#pumping = false;
    this.#pull();
  }

  #run(held: Held): void {
    this.#running++;
    const decided = this.#held.decided(held);
    if (decided !== undefined) return this.#settle(held, decided);
    whenSettled(
      this.#source.consume(held.delivery, held),
      (settlement) => this.#settle(held, settlement),
      (error) => {
        this.#parts.logger.error(`the consumer of '${this.#source.label}' threw: ${textOf(error)}`);
        this.#settle(held, { kind: 'retry', delay: BROKEN_CONSUMER_RETRY });
      },
    );
  }

  #settle(held: Held, settlement: Settlement): void {
    held.leave?.();
    this.#demand.finished();
    const settled = this.#held.settle(held, settlement, this.#state !== 'started');
    if (settled === undefined) return this.#finished();
    settled
      .catch((error: unknown) => {
        this.#held.drop(held);
        this.#parts.logger.error(`'${this.#source.label}' could not settle an event: ${textOf(error)}`);
      })
      .finally(() => this.#finished());
  }

  #finished(): void {
    this.#running--;
    if (this.#running === 0) this.#idle?.();
    this.#pump();
  }

  async #stop(timeout: number): Promise<void> {
    this.#state = 'stopping';
    const deadline = performance.now() + timeout;
    const left = (): number => Math.max(0, deadline - performance.now());
    const { link, logger } = this.#parts;
    const { label } = this.#source;
    if (this.#subscription !== undefined) {
      // Until the server has seen the unsubscription, messages arrive; they are handed back above.
      await Promise.race([
        this.#subscription.drain().catch(() => undefined),
        pause(Math.min(timeout, DRAIN_LIMIT) + 100),
      ]);
    }
    for (const held of this.#buffer.splice(0)) this.#held.handBack(held);
    if (this.#running > 0) {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        new Promise<void>((resolve) => (this.#idle = resolve)),
        new Promise<void>((resolve) => (timer = setTimeout(resolve, left()))),
      ]);
      clearTimeout(timer);
    }
    if (this.#running > 0) {
      logger.warn(`${this.#running} events of '${label}' did not finish within ${timeout} ms; handed back`);
    }
    await Promise.race([this.#source.handBack?.(), pause(Math.max(left(), CLEAN_UP_LIMIT))]);
    this.#held.handBackAll();
    const lost = await this.#held.settled(left());
    if (lost > 0) {
      logger.warn(
        `${lost} events of '${label}' were finished without a connection, which did not come back within ` +
          `${timeout} ms: they are delivered again`,
      );
    }
    this.#state = 'stopped';
    this.#unlisten();
    if (link.connected) {
      await Promise.race([
        this.#source.stopped?.(this.#consumer.name).catch(() => undefined),
        pause(CLEAN_UP_LIMIT),
      ]);
    }
  }
}
