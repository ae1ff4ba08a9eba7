import { promiseOf } from './promises';
import type { TransportSubscription } from './transport';

/** Those of one handler whose patterns cannot share one. */
export class JoinedSubscription implements TransportSubscription {
  constructor(private readonly all: readonly TransportSubscription[]) {}

  start(): void {
    for (const each of this.all) each.start();
  }

  limit(concurrency: number): void {
    for (const each of this.all) each.limit(concurrency);
  }

  /** Rejects when all have ended, with what each that could not be stopped says. */
  async stop(timeout: number): Promise<void> {
    const stopped = await Promise.allSettled(this.all.map((each) => promiseOf(() => each.stop(timeout))));
    const reasons = stopped.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : []));
    if (reasons.length > 1) throw new AggregateError(reasons, reasons.map(String).join('; '));
    if (reasons.length > 0) throw reasons[0];
  }
}
