import type { ConsumeContext } from './event-context';
import type { InboundEvent } from './inbound-event';

/** An event on its way out, before it is encoded. Middleware may change `data`, `headers` and the ids. */
export interface OutboundEvent {
  /** Fixed before the first try to publish, so that a re-try can be recognised. */
  readonly id: string;
  readonly name: string;
  readonly source: string;
  readonly time: Date;
  data: unknown;
  correlationId: string | undefined;
  causationId: string | undefined;
  readonly headers: Record<string, string>;
}

/** What `emit` resolves to: the event is stored. */
export interface EmitReceipt {
  readonly id: string;
  /** The broker already had an event of this name, source and id, and kept that one. */
  readonly duplicate: boolean;
  /** Stream and sequence the event is stored at; absent with `ephemeral` delivery. */
  readonly stream?: string;
  readonly sequence?: number;
}

/**
 * One concern around the way of an event. Each method calls `next()` once to go on; what it throws is the failure of the
 * emit or of the attempt. The first in the list is the outermost, in both directions.
 */
export interface EventMiddleware {
  publish?(event: OutboundEvent, next: () => Promise<EmitReceipt>): Promise<EmitReceipt>;
  consume?(context: ConsumeContext, next: () => Promise<unknown>): Promise<unknown>;
}

/** What the framework's own stages see: `EventMiddleware` fits, since an inbound event is a consume context. */
export interface Stage {
  publish?(event: OutboundEvent, next: () => Promise<EmitReceipt>): Promise<EmitReceipt>;
  consume?(event: InboundEvent, next: () => Promise<unknown>): Promise<unknown>;
}

/** Folds the stages around `last`: once, when a service is built or a handler bound, never per event. */
function fold<E, R>(
  steps: readonly ((event: E, next: () => Promise<R>) => Promise<R>)[],
  last: (event: E) => Promise<R>,
): (event: E) => Promise<R> {
  return steps.reduceRight<(event: E) => Promise<R>>(
    // Not an async function, which costs a promise a stage: one that throws before its first await must still reject.
    (next, step) => (event) => {
      try {
        const result: unknown = step(event, () => next(event));
        // A middleware in JavaScript may forget to be asynchronous.
        return result instanceof Promise ? (result as Promise<R>) : Promise.resolve(result as R);
      } catch (error) {
        // What was thrown is passed on as it is, Error or not.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        return Promise.reject(error);
      }
    },
    last,
  );
}

export function composePublish(
  stages: readonly Stage[],
  last: (event: OutboundEvent) => Promise<EmitReceipt>,
): (event: OutboundEvent) => Promise<EmitReceipt> {
  return fold(
    stages.flatMap((stage) => (stage.publish ? [stage.publish.bind(stage)] : [])),
    last,
  );
}

type ConsumePipeline = (event: InboundEvent) => Promise<unknown>;

/** The stages are looked at once, for all handlers that are then put inside of them. */
export function composeConsume(stages: readonly Stage[]): (last: ConsumePipeline) => ConsumePipeline {
  const steps = stages.flatMap((stage) => (stage.consume ? [stage.consume.bind(stage)] : []));
  return (last) => fold(steps, last);
}
