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

  /** Rejects as the first that does, when all have ended. */
  async stop(timeout: number): Promise<void> {
    const stopped = await Promise.allSettled(this.all.map((each) => promiseOf(() => each.stop(timeout))));
    const failed = stopped.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
}
