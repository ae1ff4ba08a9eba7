import type { CircuitBreaker } from './circuit-breaker';
import { EventsError, type NonRetryableError, type RetryAfterError } from './errors';
import { printable } from './headers';
import { InboundEvent } from './inbound-event';
import type { EventsLogger } from './logger';
import { retryDelay, type RetryPolicy } from './retry-policy';
import { ACK, type Failure, type Settlement } from './settlement';
import type { Consumer } from './transport';

/** What a subscription has done since it was bound, in events. */
export interface SubscriptionCounters {
  running: number;
  succeeded: number;
  retried: number;
  deadLettered: number;
}

export interface ConsumerParts {
  /** Identity of the handler, for logs and the context. */
  readonly name: string;
  readonly retry: RetryPolicy;
  /** Milliseconds an attempt may take. */
  readonly timeout: number;
  /** Never throws, but rejects. */
  readonly pipeline: (event: InboundEvent) => Promise<unknown>;
  readonly counters: SubscriptionCounters;
  readonly breaker?: CircuitBreaker | undefined;
  readonly logger: EventsLogger;
}

/** The outermost stage: runs the pipeline and turns its outcome into a settlement. */
export function createConsumer(parts: ConsumerParts): Consumer {
  const { name, timeout, pipeline, counters, breaker, logger } = parts;
  const done = (): Settlement => {
    counters.running--;
    counters.succeeded++;
    breaker?.succeeded();
    return ACK;
  };
  return (delivery) => {
    const event = new InboundEvent(delivery, name, timeout);
    counters.running++;
    return pipeline(event).then(done, (error: unknown) => {
      counters.running--;
      const settlement = settle(error, delivery.attempt, parts);
      if (settlement.kind === 'retry') counters.retried++;
      else counters.deadLettered++;
      try {
        report(logger, event, settlement, error);
      } catch {
        // A logger that throws must not change what becomes of the event.
      }
      return settlement;
    });
  };
}

function settle(error: unknown, attempt: number, { retry, breaker }: ConsumerParts): Settlement {
  // By code, not by class: the error may come from another installed copy of this package.
  const code = error instanceof EventsError ? error.code : undefined;
  if (code === 'non_retryable') {
    // The event is at fault, not what the handler depends on.
    breaker?.succeeded();
    const { reason, cause } = error as NonRetryableError;
    return {
      kind: 'dead-letter',
      failure: failureOf(reason, reason === 'non_retryable' ? error : (cause ?? error)),
    };
  }
  breaker?.failed();
  if (attempt > retry.attempts) {
    if (breaker === undefined || breaker.closed)
      return { kind: 'dead-letter', failure: failureOf('attempts_exhausted', error) };
    return { kind: 'retry', delay: breaker.pause };
  }
  return {
    kind: 'retry',
    delay: code === 'retry_after' ? (error as RetryAfterError).delay : retryDelay(retry, attempt),
  };
}

function failureOf(reason: Failure['reason'], error: unknown): Failure {
  try {
    if (error instanceof Error) return { reason, type: typeOf(error), message: String(error.message) };
  } catch {
    // An error whose own properties throw.
  }
  return { reason, type: typeof error, message: describe(error) };
}

/** Many classes leave `name` as they inherit it; their own says more. */
const typeOf = (error: Error): string =>
  String(error.name === 'Error' ? error.constructor.name || error.name : error.name);

// Whatever was thrown, telling of it must not throw again.
function describe(thrown: unknown): string {
  try {
    return typeof thrown === 'string' ? thrown : (JSON.stringify(thrown) ?? String(thrown));
  } catch {
    return 'a value that cannot be shown';
  }
}

/** What was thrown, and its stack if it has one. */
function tell(error: unknown): [string, string] {
  try {
    if (error instanceof Error) {
      return [`${typeOf(error)}: ${error.message}`, error.stack === undefined ? '' : `\n${error.stack}`];
    }
  } catch {
    // An error whose own properties throw.
  }
  return [describe(error), ''];
}

function report(logger: EventsLogger, event: InboundEvent, settlement: Settlement, error: unknown): void {
  // A name from elsewhere can be anything.
  const name = printable(event.name).slice(0, 200);
  const what = `'${name}' (id ${event.id}, correlation ${event.correlationId}) failed in ${event.subscription}, attempt ${event.attempt}`;
  const [why, stack] = tell(error);
  if (settlement.kind === 'dead-letter') {
    logger.error(`${what}: ${why}; it becomes a dead letter (${settlement.failure.reason})${stack}`);
  } else if (settlement.kind === 'retry') {
    // The stack once; a storm of retries would repeat it.
    logger.warn(`${what}: ${why}; next attempt in ${settlement.delay} ms${event.attempt === 1 ? stack : ''}`);
  }
}
