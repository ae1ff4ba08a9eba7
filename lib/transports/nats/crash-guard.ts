import { randomUUID } from 'node:crypto';
import type { JetStreamManager } from 'nats';
import { deadLetterStream, runMarkSubject } from '../../core/names';
import type { EventsLogger } from '../../core/logger';
import type { Settlement } from '../../core/settlement';
import type { Subject } from '../../core/subject';
import type { Consumer, Delivery, SubscriptionSpec } from '../../core/transport';
import { encodeHeaders } from './header-block';
import type { StreamPublisher } from './publisher';
import type { Position } from './pull-source';
import { Turns } from './turns';

/** Deliveries beyond the policy's that hand-backs of a rolling restart explain well enough. */
const TOLERANCE = 12;
const MAX_MARKS = 3;
const RETRY_DELAY = 5000;
const HAND_BACK: Settlement = Object.freeze({ kind: 'retry', delay: 1 });

/**
 * Keeps an event that kills its process from doing so for ever. The delivery count alone proves nothing: rolling
 * restarts raise it for events that never ran. It only makes an event a suspect, and a suspect leaves a mark at the
 * broker before it runs, taken away when it has run. Three marks left behind mean three dead processes.
 *
 * Whatever ran beside the culprit was delivered as often, and has left a mark too. So an event that has left one runs
 * alone in this process from then on: what it leaves next is its own doing.
 */
export class CrashGuard {
  readonly #turns = new Turns();
  /** Marks of what runs now. */
  readonly #marks = new Set<string>();
  #released = false;

  constructor(
    private readonly publisher: StreamPublisher,
    private readonly jsm: JetStreamManager,
    private readonly clusterId: string,
    private readonly timeout: number,
    private readonly logger: EventsLogger,
  ) {}

  /**
   * Whether an event may run at once, beside others: nearly every one. `leave` when it has been handled; the others take
   * `run`, which costs a promise more for the slot and for the turn.
   */
  tryEnter({ maxDeliveries }: SubscriptionSpec, { attempt }: Delivery): boolean {
    return attempt <= maxDeliveries + TOLERANCE && !this.#released && this.#turns.tryTogether();
  }

  leave(): void {
    this.#turns.leave();
  }

  run(spec: SubscriptionSpec, delivery: Delivery, position: Position, handle: Consumer): Promise<Settlement> {
    return delivery.attempt <= spec.maxDeliveries + TOLERANCE
      ? this.#turns.together(() => this.#run(delivery, handle))
      : this.#runSuspect(spec, delivery, position, handle);
  }

  async #runSuspect(
    spec: SubscriptionSpec,
    delivery: Delivery,
    position: Position,
    handle: Consumer,
  ): Promise<Settlement> {
    const subject = runMarkSubject(this.clusterId, spec.durable, position.sequence, position.timestamp);
    try {
      const marks = await this.#count(subject);
      if (marks >= MAX_MARKS) {
        this.logger.error(
          `'${delivery.name}' (sequence ${position.sequence}) ended the process ${marks} times while '${spec.handler}' ran; ` +
            'it becomes a dead letter (crash_loop)',
        );
        const message = `the process ended ${marks} times while the handler ran`;
        return { kind: 'dead-letter', failure: { reason: 'crash_loop', type: 'CrashLoop', message } };
      }
      const turn = marks === 0 ? 'together' : 'alone';
      return await this.#turns[turn](() => this.#runMarked(delivery, subject, handle));
    } catch (error) {
      // Without a mark it must not run: it may be the one that kills.
      this.logger.warn(
        `'${delivery.name}' waits: its mark could not be written: ${(error as Error).message}`,
      );
      return { kind: 'retry', delay: RETRY_DELAY };
    }
  }

  /** What waited for its turn may have been handed back meanwhile. */
  #run(delivery: Delivery, handle: Consumer): Promise<Settlement> {
    return Promise.resolve(this.#released ? HAND_BACK : handle(delivery));
  }

  async #runMarked(delivery: Delivery, subject: Subject, handle: Consumer): Promise<Settlement> {
    if (this.#released) return HAND_BACK;
    this.#marks.add(subject);
    await this.#mark(subject);
    const settlement = await this.#run(delivery, handle);
    this.#marks.delete(subject);
    await this.#clear(subject).catch((error: unknown) => {
      this.logger.warn(`a mark of '${delivery.name}' could not be removed: ${(error as Error).message}`);
    });
    return settlement;
  }

  /** Called when the process is about to end in order: what still runs has been handed back, and ends with it. */
  async release(): Promise<void> {
    this.#released = true;
    await Promise.all([...this.#marks].map((subject) => this.#clear(subject).catch(() => undefined)));
  }

  /** Forgets the marks of an event that has become a dead letter. */
  async forget({ durable }: Pick<SubscriptionSpec, 'durable'>, position: Position): Promise<void> {
    const subject = runMarkSubject(this.clusterId, durable, position.sequence, position.timestamp);
    await this.#clear(subject).catch((error: unknown) => {
      this.logger.warn(`the marks of a dead letter could not be removed: ${(error as Error).message}`);
    });
  }

  async #count(subject: string): Promise<number> {
    const info = await this.jsm.streams.info(deadLetterStream(this.clusterId), { subjects_filter: subject });
    return info.state.subjects?.[subject] ?? 0;
  }

  async #mark(subject: Subject): Promise<void> {
    // Tried again without an answer to the first try, it is still one mark.
    const header = encodeHeaders({ 'Nats-Msg-Id': randomUUID() });
    await this.publisher.publish(
      { subject, header, body: '', bodyLength: 0 },
      { stream: deadLetterStream(this.clusterId), timeout: this.timeout },
    );
  }

  async #clear(subject: string): Promise<void> {
    await this.jsm.streams.purge(deadLetterStream(this.clusterId), { filter: subject });
  }
}
