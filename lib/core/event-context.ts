import type { EventHeaders } from './headers';

/** What a handler knows of any event besides its data. */
export interface EventAttributes {
  /** Unique id of the event, given by who emitted it (CloudEvents `id`). */
  readonly id: string;
  /** Name of the event, e.g. `user.created`. */
  readonly name: string;
  /** The service that emitted it (CloudEvents `source`). */
  readonly source: string;
  /** When it was emitted. */
  readonly time: Date;
  /** Shared by all events that follow from one cause; the id of the first of them unless set. */
  readonly correlationId: string;
  /** Id of the event whose handler emitted this one. */
  readonly causationId: string | undefined;
  /** 1 for the first delivery. The broker's count: hand-backs at a shutdown and crashes count too. */
  readonly attempt: number;
  /** The headers given to `emit`, and the trace headers (`traceparent`, `tracestate`, `baggage`). */
  readonly headers: EventHeaders;
  /** Aborted when the handler has run out of time. */
  readonly signal: AbortSignal;
  /** Identity of the handler that runs, e.g. `Notifications.welcome`. */
  readonly subscription: string;
}

/** What a handler knows of the event of one name. */
export interface NamedEventContext<N extends string, D> extends EventAttributes {
  readonly name: N;
  /** The event itself: what the handler's first parameter is, before Nest's pipes. */
  readonly data: D;
}

/** An event on its way to a handler, as middleware sees it. */
export interface ConsumeContext extends EventAttributes {
  /** The decoded data; what middleware puts here, the contract validates and the handler receives. */
  data: unknown;
}
