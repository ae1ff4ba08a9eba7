import { NatsError, type JetStreamManager, type NatsConnection } from 'nats';
import { EventsError } from '../../core/errors';
import { textOf } from '../../core/thrown';
import {
  CONSUMER_DOES_NOT_EXIST,
  CONSUMER_NOT_FOUND,
  JETSTREAM_OFF,
  judge,
  LIMITS,
  STREAM_NOT_FOUND,
} from './server-errors';

export { CONSUMER_NOT_FOUND, STREAM_NOT_FOUND } from './server-errors';

const PAUSE = 250;
/** Milliseconds that a question for the reason of a failure may take. */
const DIAGNOSIS_TIMEOUT = 1000;

/** The client's codes for an API that gave no answer. */
const NO_ANSWER: ReadonlySet<string> = new Set(['503', 'TIMEOUT', 'DISCONNECT', 'CONNECTION_DRAINING']);

/** The JetStream API's own code of an error (`err_code`), if it is one of its errors. */
export const apiErrorCode = (error: unknown): number | undefined => {
  if (error instanceof EventsError) return error.serverCode;
  return error instanceof NatsError ? error.api_error?.err_code : undefined;
};

export const serverCodeOf = (error: unknown): { serverCode?: number } => {
  const serverCode = apiErrorCode(error);
  return serverCode === undefined ? {} : { serverCode };
};

/** Whether the same call can succeed in a moment. */
export function isPassing(error: unknown): boolean {
  if (error instanceof EventsError) return false;
  // Not the client's refusal of a call, but its trouble with what came back.
  if (!(error instanceof NatsError)) return true;
  if (error.api_error === undefined) return NO_ANSWER.has(error.code);
  const { err_code: code, description } = error.api_error;
  // Deleted in this moment: the next try creates it, or finds the stream gone.
  if (code === CONSUMER_NOT_FOUND || code === CONSUMER_DOES_NOT_EXIST) return true;
  return judge(code, description) !== 'never';
}

/** Whether JetStream is switched off, on the server or for this account. */
export const isJetStreamOff = (error: unknown): boolean =>
  JETSTREAM_OFF.has(apiErrorCode(error) ?? 0) ||
  (error instanceof NatsError && error.api_error === undefined && error.code === '503');

const ENABLE = 'is it enabled on the server (`nats-server -js`) and for this account?';

/**
 * What a call of the client threw, as an error of this package: the one mapping for everything that leaves the transport.
 * @param what names the thing at stake, for the message
 * @param timeout milliseconds for which it was tried, if it was tried again
 */
export function eventsErrorOf(cause: unknown, what: string, timeout?: number): EventsError {
  if (cause instanceof EventsError) return cause;
  const within = timeout === undefined ? '' : ` within ${timeout} ms`;
  const options = { cause, ...serverCodeOf(cause) };
  const retryable = { ...options, retryable: true };
  const text = textOf(cause);
  if (cause instanceof NatsError && cause.isPermissionError())
    return new EventsError('permission_denied', `the server denies access to ${what}: ${text}`, options);
  if (cause instanceof NatsError && cause.code === 'CONNECTION_CLOSED')
    return new EventsError('closed', `cannot reach ${what}: the connection to NATS is closed`, options);
  const { serverCode } = options;
  if (serverCode === undefined) {
    return isPassing(cause)
      ? new EventsError(
          'jetstream_unavailable',
          `JetStream did not answer for ${what}${within}: ${text}; ${ENABLE}`,
          retryable,
        )
      : new EventsError('jetstream_refused', `the NATS client refuses ${what}: ${text}`, options);
  }
  const said = `${text} (${serverCode})`;
  if (serverCode === STREAM_NOT_FOUND)
    return new EventsError(
      'no_stream',
      `cannot reach ${what}: the stream does not exist (any more)`,
      retryable,
    );
  if (LIMITS.has(serverCode)) {
    const remedy = 'raise that limit of the stream, the account or the server';
    return new EventsError('server_limit', `the server does not allow ${what}: ${said}; ${remedy}`, options);
  }
  return isPassing(cause)
    ? new EventsError(
        'jetstream_unavailable',
        `JetStream could not serve ${what}${within}: ${said}; ${ENABLE}`,
        retryable,
      )
    : new EventsError('jetstream_refused', `JetStream refuses ${what}: ${said}`, options);
}

/** Calls once. @throws EventsError whatever `call` throws */
export async function mapped<T>(what: string, call: () => T | PromiseLike<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw eventsErrorOf(cause, what);
  }
}

/**
 * Calls the JetStream API until it answers, for at most `timeout` milliseconds.
 * @param what names the thing at stake, for the message
 * @throws EventsError `jetstream_unavailable`, `jetstream_refused`, `server_limit`, `no_stream`, `permission_denied`, `closed`;
 * those of `call`
 */
export async function until<T>(timeout: number, what: string, call: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + timeout;
  for (;;) {
    try {
      return await call();
    } catch (cause) {
      if (!isPassing(cause) || performance.now() + PAUSE >= deadline)
        throw eventsErrorOf(cause, what, timeout);
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

/**
 * Why JetStream does not take what is published: a sentence, or `undefined` if it answers or nothing can be told.
 * @param stream the question is for this one, which every service may ask about
 */
export async function jetStreamProblem(nc: NatsConnection, stream: string): Promise<string | undefined> {
  try {
    const { data } = await nc.request(`$JS.API.STREAM.INFO.${stream}`, undefined, {
      timeout: DIAGNOSIS_TIMEOUT,
    });
    const { error } = JSON.parse(new TextDecoder().decode(data)) as { error?: { err_code?: number } };
    return JETSTREAM_OFF.has(error?.err_code ?? 0) ? JETSTREAM_OFF_PROBLEM : undefined;
  } catch (error) {
    return isJetStreamOff(error) ? JETSTREAM_OFF_PROBLEM : undefined;
  }
}

export const JETSTREAM_OFF_PROBLEM =
  'JetStream is switched off on the NATS server or for this account: enable it (`nats-server -js`)';

/** The client's JetStream manager, without its own check, which a cluster in election fails. */
export const jetStreamManager = (nc: NatsConnection, timeout: number): Promise<JetStreamManager> =>
  nc.jetstreamManager({ checkAPI: false, timeout: Math.min(timeout, 5000) });
