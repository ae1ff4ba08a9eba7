import type { EventsLogger } from '../../core/logger';

/** Tells when this process was so busy that the broker may have taken it for dead. */
export class LoopWatch {
  #tickedAt = performance.now();

  /** @param options `ackWait`: milliseconds the broker waits for a sign of life */
  constructor(private readonly options: { readonly ackWait: number; readonly logger: EventsLogger }) {}

  /** Called once a second. */
  tick(now: number): void {
    const { ackWait, logger } = this.options;
    const silence = now - this.#tickedAt;
    this.#tickedAt = now;
    if (silence <= ackWait) return;
    logger.warn(
      `event_loop_blocked: nothing ran in this process for ${Math.round(silence)} ms, longer than the broker waits ` +
        `(${ackWait} ms): events it held may be handled twice`,
    );
  }
}
