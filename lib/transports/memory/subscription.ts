import type { Settlement } from '../../core/settlement';
import type { Consumer, Delivery, SubscriptionSpec, TransportSubscription } from '../../core/transport';
import { Dispatcher, type Member } from './dispatcher';
import type { Host, Outcome, Work } from './work';

/** Where a subscription gets its work from. */
export abstract class WorkSource extends Dispatcher<MemorySubscription> {
  /** What its cluster knows it by. */
  abstract readonly key: string | symbol;
  /** Events that wait to be delivered. */
  abstract get backlog(): number;
  /** Whether there is something to deliver at this moment; what waits for its next attempt is not. */
  abstract get ready(): boolean;
  /**
   * Whether a member that begins to stop has to work off what waits, because nobody else can take it. Absent: the broker
   * keeps it.
   */
  worksOff?(member: MemorySubscription): boolean;
  /** Whether this version of the handler takes events of this name. Absent: what it is given. */
  takes?(spec: SubscriptionSpec, name: string): boolean;
  /** What is wrong with it at this moment, one sentence each. */
  abstract problems(): readonly string[];
}

/** Milliseconds before the next delivery when a consumer broke its contract and threw. */
const BROKEN_CONSUMER_DELAY = 1000;

const HAND_BACK: Outcome = Object.freeze({ kind: 'hand-back' });
const HAND_ON: Outcome = Object.freeze({ kind: 'hand-on' });

/** One member of a durable or of an ephemeral group: runs the consumer, as often at once as it may. */
export class MemorySubscription implements TransportSubscription, Member {
  /** Made at the first event. */
  private running: Set<Work> | undefined;
  /** Made when somebody waits for it. */
  private stopped: Promise<void> | undefined;
  private resolveStopped: (() => void) | undefined;
  private state: 'bound' | 'started' | 'working-off' | 'stopping' | 'stopped' = 'bound';
  private atOnce: number;
  private deadline: number | undefined;
  private cancelDeadline: (() => void) | undefined;

  /** @param onStopped called once, when nothing runs any more that counts */
  constructor(
    readonly spec: SubscriptionSpec,
    readonly source: WorkSource,
    private readonly consumer: Consumer,
    private readonly host: Host,
    private readonly onStopped: (subscription: MemorySubscription) => void,
  ) {
    this.atOnce = spec.concurrency;
  }

  get free(): boolean {
    const takes = this.state === 'started' || this.state === 'working-off';
    return takes && this.runs < this.atOnce;
  }

  /** Whether it handles something at this moment, or is about to. */
  get busy(): boolean {
    return this.runs > 0 || (this.free && this.source.ready);
  }

  get stopping(): boolean {
    return this.state !== 'bound' && this.state !== 'started';
  }

  start(): void {
    if (this.state !== 'bound') return;
    this.state = 'started';
    this.source.wake();
  }

  limit(concurrency: number): void {
    if (this.stopping) return;
    this.atOnce = Math.min(concurrency, this.spec.concurrency);
    this.source.wake();
  }

  takes({ delivery }: Work): boolean {
    return this.source.takes?.(this.spec, delivery.name) !== false;
  }

  run(work: Work): void {
    if (!this.takes(work)) return work.settle(HAND_ON, this.host);
    const running = (this.running ??= new Set());
    running.add(work);
    void this.consume(work.delivery).then((settlement) => {
      if (!running.delete(work)) return; // handed back meanwhile
      const dying = this.state === 'stopping' && settlement.kind === 'dead-letter';
      work.settle(dying ? HAND_BACK : settlement, this.host);
      if (this.done) this.finish();
      else this.source.resume();
    });
  }

  stop(timeout: number): Promise<void> {
    if (this.state === 'stopped') return Promise.resolve();
    this.stopped ??= new Promise((resolve) => (this.resolveStopped = resolve));
    const stopped = this.stopped;
    if (!this.stopping) this.beginToStop();
    if (this.done || timeout <= 0) this.finish();
    else this.finishWithin(timeout);
    return stopped;
  }

  private beginToStop(): void {
    const worksOff = this.state === 'started' && this.source.worksOff?.(this) === true;
    this.state = worksOff ? 'working-off' : 'stopping';
    if (!worksOff) return;
    this.atOnce = this.spec.concurrency; // a pause would lose what waits
    this.source.wake();
  }

  private get runs(): number {
    return this.running?.size ?? 0;
  }

  private get done(): boolean {
    if (!this.stopping || this.runs > 0) return false;
    return this.state !== 'working-off' || this.source.backlog === 0;
  }

  // Called again with less time, the earlier deadline holds.
  private finishWithin(timeout: number): void {
    const { clock } = this.host;
    const deadline = clock.monotonic() + timeout;
    if (deadline >= (this.deadline ?? Infinity)) return;
    this.deadline = deadline;
    this.cancelDeadline?.();
    this.cancelDeadline = clock.after(timeout, () => this.finish());
  }

  private finish(): void {
    this.state = 'stopped';
    this.cancelDeadline?.();
    const handedBack = [...(this.running ?? [])];
    this.running?.clear();
    for (const work of handedBack) work.settle(HAND_BACK, this.host);
    this.onStopped(this);
    this.resolveStopped?.();
  }

  private async consume(delivery: Delivery): Promise<Settlement> {
    try {
      return await this.consumer(delivery);
    } catch (error) {
      const { app, handler } = this.spec;
      this.host.logger.error(
        `the consumer of handler '${handler}' of '${app}' threw where it must settle; ` +
          `'${delivery.name}' is delivered again in ${BROKEN_CONSUMER_DELAY} ms: ${String(error)}`,
      );
      return { kind: 'retry', delay: BROKEN_CONSUMER_DELAY };
    }
  }
}
