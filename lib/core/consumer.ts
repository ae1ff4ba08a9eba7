import { Attempt, type AttemptParts } from './attempt';
import type { CircuitBreaker } from './circuit-breaker';
import { EventsError, type NonRetryableError, type RetryAfterError } from './errors';
import { InboundEvent } from './inbound-event';
import { runInEventScope } from './event-scope';
import type { EventsLogger } from './logger';
import type { ConsumeStep } from './middleware';
import { PendingSettlement } from './pending-settlement';
import { printable } from './printable';
import { promiseOf } from './promises';
import { retryDelay, type RetryPolicy } from './retry-policy';
import { ACK, type Failure, type Settlement } from './settlement';
import { describeThrown, stackOf, textOf } from './thrown';
import type { Consumer } from './transport';

/** What a subscription has done since it was bound, in events. */
export interface SubscriptionCounters {
  running: number;
  succeeded: number;
  retried: number;
  deadLettered: number;
}

export interface ConsumerParts extends AttemptParts {
  /** Identity of the handler, for logs and the context. */
  readonly name: string;
  readonly retry: RetryPolicy;
  /** Milliseconds an attempt may take. */
  readonly timeout: number;
  /** Puts what observes attempts around one, its time included. Default: nothing does. */
  readonly around?: ((attempt: ConsumeStep) => ConsumeStep) | undefined;
  readonly counters: SubscriptionCounters;
  readonly breaker?: CircuitBreaker | undefined;
}

/** The outermost stage: makes attempts, and turns their outcomes into settlements. */
export function createConsumer(parts: ConsumerParts): Consumer {
  const { name, timeout, counters, around } = parts;
  if (around === undefined) {
    return (delivery) => {
      counters.running++;
      const attempt = new SettlingAttempt(new InboundEvent(delivery, name, timeout), parts);
      runInEventScope(() => attempt.begin());
      return attempt.settlement;
    };
  }
  const observed = around(
    (event) => new Promise((resolve, reject) => new ObservedAttempt(event, parts, resolve, reject).begin()),
  );
  return (delivery) => {
    counters.running++;
    const event = new InboundEvent(delivery, name, timeout);
    return new Promise((resolve) => {
      runInEventScope(() => {
        promiseOf(() => observed(event)).then(
          () => resolve(success(parts)),
          (error: unknown) => resolve(failure(event, error, parts)),
        );
      });
    });
  };
}

class SettlingAttempt extends Attempt {
  readonly settlement = new PendingSettlement();

  constructor(
    event: InboundEvent,
    private readonly consumer: ConsumerParts,
  ) {
    super(event, consumer);
  }

  protected succeeded(): void {
    this.settlement.settle(success(this.consumer));
  }

  protected failed(error: unknown): void {
    this.settlement.settle(failure(this.event, error, this.consumer));
  }
}

class ObservedAttempt extends Attempt {
  constructor(
    event: InboundEvent,
    parts: AttemptParts,
    protected readonly succeeded: (value: unknown) => void,
    protected readonly failed: (error: unknown) => void,
  ) {
    super(event, parts);
  }
}

function success({ counters, breaker }: ConsumerParts): Settlement {
  counters.running--;
  counters.succeeded++;
  breaker?.succeeded();
  return ACK;
}

function failure(event: InboundEvent, error: unknown, parts: ConsumerParts): Settlement {
  const { counters, logger } = parts;
  counters.running--;
  const { attempt, failures = attempt - 1 } = event.delivery;
  const settlement = settle(error, failures + 1, parts);
  if (settlement.kind === 'retry') counters.retried++;
  else counters.deadLettered++;
  try {
    report(logger, event, settlement, error);
  } catch {
    // A logger that throws must not change what becomes of the event.
  }
  return settlement;
}

/** @param failures attempts that failed, this one included */
function settle(error: unknown, failures: number, { retry, breaker }: ConsumerParts): Settlement {
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
  if (failures > retry.attempts) {
    if (breaker === undefined || breaker.closed)
      return { kind: 'dead-letter', failure: failureOf('attempts_exhausted', error) };
    return { kind: 'retry', delay: breaker.pause };
  }
  return {
    kind: 'retry',
    delay: code === 'retry_after' ? (error as RetryAfterError).delay : retryDelay(retry, failures),
  };
}

const failureOf = (reason: Failure['reason'], error: unknown): Failure => ({
  reason,
  ...describeThrown(error),
});

function report(logger: EventsLogger, event: InboundEvent, settlement: Settlement, error: unknown): void {
  const what = `'${printable(event.name, 200)}' (id ${event.id}, correlation ${event.correlationId}) failed in ${event.subscription}, attempt ${event.attempt}`;
  const why = textOf(error);
  if (settlement.kind === 'dead-letter') {
    logger.error(`${what}: ${why}; it becomes a dead letter (${settlement.failure.reason})${stackOf(error)}`);
  } else if (settlement.kind === 'retry') {
    // The stack once; a storm of retries would repeat it.
    const stack = event.attempt === 1 ? stackOf(error) : '';
    logger.warn(`${what}: ${why}; next attempt in ${settlement.delay} ms${stack}`);
  }
}
