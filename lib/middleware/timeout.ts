import { EventsError } from '../core/errors';
import type { EventsLogger } from '../core/logger';
import type { Stage } from '../core/middleware';

/**
 * Ends an attempt that takes too long: aborts `context.signal` and fails the attempt, which frees its slot. What the
 * handler still returns or throws is ignored, and told to the logger.
 */
export function timeout(logger: EventsLogger): Stage {
  return {
    consume: (event, next) =>
      new Promise((resolve, reject) => {
        let late = false;
        const timer = setTimeout(() => {
          late = true;
          const error = new EventsError(
            'handler_timeout',
            `handler '${event.subscription}' did not finish '${event.name}' within ${event.timeout} ms`,
            { retryable: true },
          );
          event.abort(error);
          reject(error);
        }, event.timeout);
        // A handler that is given up at a shutdown must not keep the process alive.
        timer.unref();
        const settle = (outcome: string, finish: () => void): void => {
          clearTimeout(timer);
          if (!late) finish();
          else
            logger.warn(
              `handler '${event.subscription}' ${outcome} '${event.name}' (id ${event.id}) after its timeout; ignored`,
            );
        };
        next().then(
          (value) => settle('finished', () => resolve(value)),
          // What was thrown is passed on as it is, Error or not.
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
          (error: unknown) => settle('failed', () => reject(error)),
        );
      }),
  };
}
