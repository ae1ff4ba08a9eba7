import { NonRetryableError } from '../../core/errors';
import type { SubscribeOptions } from '../../core/handler-definition';
import { Collector } from './collector';
import type { Received, ServiceInstance } from './harness';

/** The handler whose dead letters are redriven. */
export const ENTER = { name: 'Books.enter' } as const;

/** A handler that gives every event up until it is repaired. */
export class Repairable {
  readonly failed = new Collector<Received>('events that the broken handler was given');
  readonly handled = new Collector<Received>('events that the repaired handler was given');
  #broken = true;

  /** With a retry policy, it fails so that it is tried again. */
  static async on(
    service: ServiceInstance,
    options: SubscribeOptions = {},
    patterns: string | readonly string[] = 'invoice.issued',
  ): Promise<Repairable> {
    const handler = new Repairable();
    await service.on(
      patterns,
      (data, context) => {
        (handler.#broken ? handler.failed : handler.handled).add({ data, context });
        if (!handler.#broken) return;
        throw options.retry === undefined
          ? new NonRetryableError('no such account')
          : new Error('no such account');
      },
      { ...ENTER, concurrency: 1, ...options },
    );
    return handler;
  }

  repair(): void {
    this.#broken = false;
  }
}

/** A handler that gives every event up. */
export function giveUp(): never {
  throw new NonRetryableError('never');
}
