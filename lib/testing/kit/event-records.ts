import type { EmittedData, EventMap, EventName, HandledData, MatchingNames } from '../../core/event-map';
import type { EventHeaders } from '../../core/headers';
import type { DeadLetterReason, Settlement } from '../../core/settlement';
import type { PublishReceipt } from '../../core/transport';

interface EventRecord<N extends string> {
  readonly id: string;
  readonly name: N;
  /** The service that emitted it. */
  readonly source: string;
  readonly time: Date;
  readonly correlationId: string;
  readonly causationId: string | undefined;
  readonly headers: EventHeaders;
}

/** An event that was emitted and stored. */
export type EmittedEvent<N extends string = EventName> = N extends string
  ? EventRecord<N> & {
      /** As it went out: what middleware made of the data, with Dates as Dates. A copy. */
      readonly data: EmittedData<N>;
      /** What the broker answered; `duplicate` when it had this event already. */
      readonly receipt: PublishReceipt;
    }
  : never;

interface AttemptRecord {
  /** The service and the handler. */
  readonly app: string;
  readonly subscription: string;
  /** 1 for the first delivery. */
  readonly attempt: number;
}

/** An attempt that succeeded. */
export type HandledEvent<N extends string = EventName> = N extends string
  ? EventRecord<N> &
      AttemptRecord & {
        /** What the handler received. */
        readonly data: HandledData<N>;
      }
  : never;

/** An attempt that failed. */
export type FailedEvent<N extends string = EventName> = N extends string
  ? EventRecord<N> &
      AttemptRecord & {
        /** As far as the event came: `undefined` if it could not be decoded, without its contract's changes if it did not fit. */
        readonly data: HandledData<N>;
        /** What was thrown. */
        readonly error: unknown;
        /** What becomes of the event: `retry` after `delay` milliseconds, or `dead-letter` with its `failure`. */
        readonly settlement: Exclude<Settlement, { kind: 'ack' }>;
      }
  : never;

/** An event that a handler could not handle. */
export type DeadLetteredEvent<N extends string = EventName> = N extends string
  ? EventRecord<N> &
      Omit<AttemptRecord, 'attempt'> & {
        /** As with `FailedEvent`. */
        readonly data: HandledData<N>;
        readonly reason: DeadLetterReason;
        /** Name of the error's class, and its message. */
        readonly type: string;
        readonly message: string;
        /** Deliveries. */
        readonly attempts: number;
      }
  : never;

/** The names that a name or pattern means; any while `EventMap` is empty. */
export type NamesOf<P extends string> = [keyof EventMap] extends [never] ? string : MatchingNames<P>;
