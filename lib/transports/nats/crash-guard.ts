import type { JetStreamManager } from 'nats';
import { deadLetterStream, runMarkSubject } from '../../core/names';
import type { EventsLogger } from '../../core/logger';
import type { Settlement } from '../../core/settlement';
import type { Consumer, Delivery, SubscriptionSpec } from '../../core/transport';
import { encodeHeaders } from './header-block';
import { emptyHeaders } from '../../core/headers';
import type { StreamPublisher } from './publisher';
import type { Position } from './pull-source';

/** Deliveries beyond the policy's that hand-backs of a rolling restart explain well enough. */
const TOLERANCE = 12;
const MAX_MARKS = 3;
const RETRY_DELAY = 5000;

/**
 * Keeps an event that kills its process from doing so for ever. The delivery count alone proves nothing: rolling
 * restarts raise it for events that never ran. It only makes an event a suspect, and a suspect leaves a mark at the
 * broker before it runs, taken away when it has run. Three marks left behind mean three dead processes.
 */
export class CrashGuard {
  constructor(
    private readonly publisher: StreamPublisher,
    private readonly jsm: JetStreamManager,
    private readonly clusterId: string,
    private readonly timeout: number,
    private readonly logger: EventsLogger,
  ) {}

  async run(
    spec: SubscriptionSpec,
    delivery: Delivery,
    position: Position,
    handle: Consumer,
  ): Promise<Settlement> {
    if (delivery.attempt <= spec.maxDeliveries + TOLERANCE) return handle(delivery);
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
      await this.#mark(subject);
    } catch (error) {
      // Without a mark it must not run: it may be the one that kills.
      this.logger.warn(
        `'${delivery.name}' waits: its mark could not be written: ${(error as Error).message}`,
      );
      return { kind: 'retry', delay: RETRY_DELAY };
    }
    const settlement = await handle(delivery);
    await this.#clear(subject).catch((error: unknown) => {
      this.logger.warn(`a mark of '${delivery.name}' could not be removed: ${(error as Error).message}`);
    });
    return settlement;
  }

  /** Forgets the marks of an event that has become a dead letter. */
  async forget(spec: SubscriptionSpec, position: Position): Promise<void> {
    await this.#clear(runMarkSubject(this.clusterId, spec.durable, position.sequence, position.timestamp));
  }

  async #count(subject: string): Promise<number> {
    const info = await this.jsm.streams.info(deadLetterStream(this.clusterId), { subjects_filter: subject });
    return info.state.subjects?.[subject] ?? 0;
  }

  async #mark(subject: string): Promise<void> {
    await this.publisher.publish({
      subject,
      header: encodeHeaders(emptyHeaders()),
      body: new Uint8Array(),
      stream: deadLetterStream(this.clusterId),
      timeout: this.timeout,
    });
  }

  async #clear(subject: string): Promise<void> {
    await this.jsm.streams.purge(deadLetterStream(this.clusterId), { filter: subject });
  }
}
