import type { BoundHandler } from './bound-handler';
import { CircuitBreaker } from './circuit-breaker';
import { systemClock, type Clock } from './clock';
import { createConsumer } from './consumer';
import { Deadlines } from './deadlines';
import type { InboundEvent } from './inbound-event';
import type { EventsLogger } from './logger';
import { composeConsume, type Stage } from './middleware';
import { promiseOf } from './promises';
import type { Consumer } from './transport';

/** What lies between a transport and the handlers of a service. */
export interface PipelineParts {
  /** Around each attempt, its time included: what observes it. Default: none. */
  readonly observers?: readonly Stage[];
  /** Within the time of an attempt, `decoding` among them. In both lists the first is the outermost, in both directions. */
  readonly stages: readonly Stage[];
  /**
   * Runs what belongs to the handling of an event when its stages have been left already, as they run the handler.
   * Default: as it is.
   */
  readonly within?: (event: InboundEvent, run: () => unknown) => unknown;
  /** Of circuit breakers. Default: the system's. */
  readonly clock?: Clock;
  readonly logger: EventsLogger;
}

/** Composes the pipeline of each handler of a service; what they share is made once. */
export function pipelines(parts: PipelineParts): (bound: BoundHandler) => Consumer {
  const { observers = [], stages, within, clock = systemClock, logger } = parts;
  const inStages = composeConsume(stages);
  const seesResults = stages.some((stage) => stage.seesResults === true);
  const observing = observers.filter((each) => each.consume !== undefined);
  const around = observing.length === 0 ? undefined : composeConsume(observing);
  // By their durations: most handlers have the same.
  const deadlines = new Map<number, Deadlines>();
  const deadlinesOf = (duration: number): Deadlines => {
    const known = deadlines.get(duration) ?? new Deadlines(duration);
    deadlines.set(duration, known);
    return known;
  };

  return (bound) => {
    const { name, handler, resultOf } = bound.definition;
    const { retry, timeout, circuitBreaker } = bound.options;
    if (circuitBreaker !== undefined) {
      const limit = (concurrency: number): void => bound.transport?.limit(concurrency);
      bound.breaker = new CircuitBreaker(circuitBreaker, name, limit, logger, clock);
    }
    return createConsumer({
      name,
      retry,
      timeout,
      run: inStages(
        resultOf === undefined || !seesResults
          ? (event) => handler(event.data, event)
          : (event) => promiseOf(() => handler(event.data, event)).then(resultOf),
      ),
      resultOf:
        resultOf === undefined || within === undefined
          ? resultOf
          : (value, event) => within(event, () => resultOf(value)),
      around,
      deadlines: deadlinesOf(timeout),
      counters: bound,
      breaker: bound.breaker,
      logger,
    });
  };
}
