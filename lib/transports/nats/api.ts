import { NatsError, type JetStreamManager, type NatsConnection } from 'nats';
import { EventsError } from '../../core/errors';

const PAUSE = 250;

export const CONSUMER_NOT_FOUND = 10014;
export const STREAM_NOT_FOUND = 10059;

/** The JetStream API's own code of an error (`err_code`), if it is one of its errors. */
export const apiErrorCode = (error: unknown): number | undefined =>
  error instanceof NatsError ? error.api_error?.err_code : undefined;

export const serverCodeOf = (error: unknown): { serverCode?: number } => {
  const serverCode = apiErrorCode(error);
  return serverCode === undefined ? {} : { serverCode };
};

/**
 * Server errors that mean "not now": no leader yet, JetStream starting, cluster forming.
 * https://github.com/nats-io/nats-server/blob/main/server/errors.json
 */
export const TRANSIENT: ReadonlySet<number> = new Set([10006, 10008, 10009, 10039, 10076, 10118]);

const isTransient = (error: unknown): boolean =>
  error instanceof NatsError &&
  (TRANSIENT.has(apiErrorCode(error) ?? 0) ||
    (error.api_error === undefined &&
      ['503', 'TIMEOUT', 'DISCONNECT', 'CONNECTION_DRAINING'].includes(error.code)));

/**
 * Calls the JetStream API until it answers, for at most `timeout` milliseconds.
 * @param what names the thing at stake, for the message
 * @throws EventsError `jetstream_unavailable`, `permission_denied`; what `call` throws otherwise
 */
export async function until<T>(timeout: number, what: string, call: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + timeout;
  for (;;) {
    try {
      return await call();
    } catch (cause) {
      if (cause instanceof NatsError && cause.isPermissionError()) {
        throw new EventsError('permission_denied', `the server denies access to ${what}: ${cause.message}`, {
          cause,
        });
      }
      if (!isTransient(cause)) throw cause;
      if (Date.now() + PAUSE >= deadline) {
        throw new EventsError(
          'jetstream_unavailable',
          `JetStream did not answer for ${what} within ${timeout} ms: ${(cause as Error).message}; ` +
            `is it enabled on the server (\`nats-server -js\`) and for this account?`,
          { cause, retryable: true },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

/** The client's JetStream manager, without its own check, which a cluster in election fails. */
export const jetStreamManager = (nc: NatsConnection, timeout: number): Promise<JetStreamManager> =>
  nc.jetstreamManager({ checkAPI: false, timeout: Math.min(timeout, 5000) });
