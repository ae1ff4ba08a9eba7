import { Deadlines } from '../core/deadlines';
import { EventsError } from '../core/errors';
import type { EventsLogger } from '../core/logger';
import type { Stage } from '../core/middleware';

/**
 * Ends an attempt that takes too long: aborts `context.signal` and fails the attempt, which frees its slot. What the
 * handler still returns or throws is ignored, and told to the logger.
 */
export function timeout(logger: EventsLogger): Stage {
  /** By their durations: most handlers have the same. */
  const deadlines = new Map<number, Deadlines>();
  const deadlinesOf = (duration: number): Deadlines => {
    const known = deadlines.get(duration);
    if (known !== undefined) return known;
    const made = new Deadlines(duration);
    deadlines.set(duration, made);
    return made;
  };
  return {
    consume: (event, next) =>
      new Promise((resolve, reject) => {
        let late = false;
        const deadline = deadlinesOf(event.timeout).begin(() => {
          late = true;
          const error = new EventsError(
            'handler_timeout',
            `handler '${event.subscription}' did not finish '${event.name}' within ${event.timeout} ms`,
            { retryable: true },
          );
          event.abort(error);
          reject(error);
        });
        const tell = (outcome: string): void =>
          logger.warn(
            `handler '${event.subscription}' ${outcome} '${event.name}' (id ${event.id}) after its timeout; ignored`,
          );
        next().then(
          (value) => {
            deadline.end();
            if (late) tell('finished');
            else resolve(value);
          },
          (error: unknown) => {
            deadline.end();
            if (late) tell('failed');
            // What was thrown is passed on as it is, Error or not.
            // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
            else reject(error);
          },
        );
      }),
  };
}
