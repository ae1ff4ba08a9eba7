import type { ConsumeContext } from './event-context';
import type { InboundEvent } from './inbound-event';
import { promiseOf } from './promises';

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

/** One step of an event on its way out: gives a promise, or throws. */
export type PublishStep = (event: OutboundEvent) => Promise<EmitReceipt>;

/** One step of an event on its way in: gives back what the handler does, a promise of it or not, and may throw. */
export type ConsumeStep = (event: InboundEvent) => unknown;

/**
 * A stage of the framework's own. On the way in it need not be asynchronous where it has nothing to wait for: each promise
 * costs an event, see attempt.ts.
 */
export interface Stage {
  publish?(event: OutboundEvent, next: PublishStep): Promise<EmitReceipt>;
  consume?(event: InboundEvent, next: ConsumeStep): unknown;
  /** Whether it looks at what `next` gives back, which has to be there in full then. Default: `false`. */
  readonly seesResults?: boolean;
}

/** Middleware of a user, to whom `next` is always asynchronous, and who in JavaScript may forget to be it, or throw. */
export const stageOf = (middleware: EventMiddleware): Stage => ({
  seesResults: true,
  ...(middleware.publish && {
    publish: (event: OutboundEvent, next: PublishStep) =>
      promiseOf(
        () => middleware.publish?.(event, () => promiseOf(() => next(event))) as Promise<EmitReceipt>,
      ),
  }),
  ...(middleware.consume && {
    consume: (event: InboundEvent, next: ConsumeStep) =>
      middleware.consume?.(event, () => promiseOf(() => next(event))),
  }),
});

/** Folds the stages around `last`: once, when a service is built or a handler bound, never per event. */
function fold<E, R>(
  steps: readonly ((event: E, next: (event: E) => R) => R)[],
  last: (event: E) => R,
): (event: E) => R {
  return steps.reduceRight<(event: E) => R>((next, step) => (event) => step(event, next), last);
}

export function composePublish(stages: readonly Stage[], last: PublishStep): PublishStep {
  const steps = stages.flatMap((stage) => (stage.publish ? [stage.publish.bind(stage)] : []));
  return fold(steps, last);
}

/** The stages are looked at once, for all handlers that are then put inside of them. */
export function composeConsume(stages: readonly Stage[]): (last: ConsumeStep) => ConsumeStep {
  const steps = stages.flatMap((stage) => (stage.consume ? [stage.consume.bind(stage)] : []));
  return (last) => fold(steps, last);
}
