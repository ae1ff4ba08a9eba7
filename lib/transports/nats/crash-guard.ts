import { randomBytes } from 'node:crypto';
import type { JetStreamManager } from 'nats';
import type { EventsLogger } from '../../core/logger';
import { PendingSettlement, whenSettled } from '../../core/pending-settlement';
import type { Settlement } from '../../core/settlement';
import { textOf } from '../../core/thrown';
import type { Consumer, Delivery, SubscriptionSpec } from '../../core/transport';
import { AttemptRecords, type AttemptRecordParts, type Past } from './attempt-records';
import type { StreamPublisher } from './publisher';
import type { Handling } from './pull-source';
import { Turns } from './turns';

/** Recorded ends of processes after which an event runs alone in its process, and after which it is given up. */
const DEATHS_ALONE = 2;
const MAX_DEATHS = 4;
/** Milliseconds until an event whose consumer broke its contract is tried again: one second. */
const BROKEN_CONSUMER: Settlement = Object.freeze({ kind: 'retry', delay: 1000 });
const FIRST: Past = Object.freeze({ failures: 0, deaths: 0 });
const HAND_BACK: Settlement = Object.freeze({ kind: 'retry', delay: 1 });

/** A delivery whose past is looked up. */
type Repeated = Delivery & { failures?: number | undefined };

/**
 * Keeps an event that ends its process from doing so for ever. The delivery count proves nothing: rolling restarts raise it for
 * events that never ran. What counts are the records of processes that ended while they ran the event, see `AttemptRecords`;
 * a first attempt leaves none.
 *
 * What ran beside the culprit is on the same records. So an event that is on two runs alone in this process from then on:
 * a third and a fourth record are its own doing.
 */
export class CrashGuard {
  readonly #turns = new Turns();
  readonly #records = new Map<string, AttemptRecords>();
  readonly #parts: AttemptRecordParts;
  #released = false;

  constructor(
    publisher: StreamPublisher,
    jsm: JetStreamManager,
    clusterId: string,
    private readonly logger: EventsLogger,
  ) {
    this.#parts = { publisher, jsm, clusterId, logger, process: randomBytes(8).toString('hex') };
  }

  /** The records of a handler's attempts. @param stream where its events are: those of the event stream, or redriven ones */
  attemptsOf(
    { durable, broadcast = false }: Pick<SubscriptionSpec, 'durable'> & Partial<SubscriptionSpec>,
    stream: string,
  ): AttemptRecords {
    const key = `${durable} ${stream}`;
    let records = this.#records.get(key);
    if (records === undefined) {
      records = new AttemptRecords(this.#parts, durable, stream, !broadcast);
      this.#records.set(key, records);
    }
    return records;
  }

  /**
   * Whether an event may run at once, beside others: a first attempt nearly always. `leave` when it has been handled; the others
   * take `run`, which costs some promises more.
   */
  tryEnter({ attempt }: Delivery): boolean {
    return attempt === 1 && !this.#released && this.#turns.tryTogether();
  }

  leave(): void {
    this.#turns.leave();
  }

  /**
   * Runs an event when it may. What this gives back is settled in the moment in which the handler's settlement is: a stop that
   * begins then must not find the event unsettled.
   */
  run(attempts: AttemptRecords, delivery: Repeated, handling: Handling, handle: Consumer): PendingSettlement {
    const settlement = new PendingSettlement();
    this.#run(attempts, delivery, handling, (done) => {
      whenSettled(
        handle(delivery),
        (its) => {
          settlement.settle(its);
          done();
        },
        done,
      );
    }).then(
      (verdict) => settlement.settle(verdict ?? HAND_BACK),
      (error: unknown) => {
        this.logger.error(`the consumer of '${delivery.name}' threw: ${textOf(error)}`);
        settlement.settle(BROKEN_CONSUMER);
      },
    );
    return settlement;
  }

  /** Called when the process is about to end in order: what still runs has been handed back, and ends with it. */
  async release(): Promise<void> {
    this.#released = true;
    await Promise.all(
      [...this.#records.values()].map(async (records) => {
        await records.handedBackAll();
        await records.tidied();
      }),
    );
  }

  /** @returns what becomes of an event that does not run */
  async #run(
    attempts: AttemptRecords,
    delivery: Repeated,
    handling: Handling,
    start: (done: (error?: unknown) => void) => void,
  ): Promise<Settlement | undefined> {
    const { attempt } = delivery;
    const { failures, deaths } = attempt === 1 ? FIRST : await attempts.past(handling, attempt);
    if (deaths >= MAX_DEATHS) {
      this.logger.error(
        `'${delivery.name}' (sequence ${handling.sequence}) ended ${deaths} processes while they ran it; ` +
          'it becomes a dead letter (crash_loop)',
      );
      const message = `${deaths} processes ended while the handler ran`;
      return { kind: 'dead-letter', failure: { reason: 'crash_loop', type: 'CrashLoop', message } };
    }
    if (attempt > 1) delivery.failures = failures;
    return this.#turns[deaths < DEATHS_ALONE ? 'together' : 'alone'](async () => {
      if (attempt > 1 && !this.#isOver(handling)) await attempts.begins(handling, attempt);
      if (this.#isOver(handling)) return HAND_BACK;
      handling.attempts = attempts;
      await new Promise<void>((resolve, reject) => {
        start((error) => {
          if (error === undefined) resolve();
          else reject(error instanceof Error ? error : new Error(textOf(error)));
        });
      });
      return undefined;
    });
  }

  /** What waited for its turn may have been handed back meanwhile. */
  #isOver({ settled }: Handling): boolean {
    return this.#released || settled === true;
  }
}
