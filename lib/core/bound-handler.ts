import type { CircuitBreaker } from './circuit-breaker';
import type { SubscriptionCounters } from './consumer';
import type { HandlerDefinition, ResolvedSubscribeOptions } from './handler-definition';
import type { Settlement } from './settlement';
import type { Consumer, Delivery, TransportSubscription } from './transport';

/** A handler with an identity that is its own: what it does is counted here, and where its events come from is kept. */
export class BoundHandler implements SubscriptionCounters {
  running = 0;
  succeeded = 0;
  retried = 0;
  deadLettered = 0;
  breaker: CircuitBreaker | undefined = undefined;
  /** Absent until it is there, and where nothing is consumed. */
  transport: TransportSubscription | undefined = undefined;
  // Not `#composed`, as elsewhere: what there is one of for each handler is to be small (ADR 10).
  private composed: Consumer | undefined = undefined;

  constructor(
    readonly identity: string,
    readonly definition: HandlerDefinition,
    readonly options: ResolvedSubscribeOptions,
    private readonly compose: (bound: BoundHandler) => Consumer,
  ) {}

  /** Made for who delivers to it. Bound: an arrow function with what it closes over is twice as large. */
  get consumer(): Consumer {
    return this.consume.bind(this);
  }

  /** The pipeline is composed once, at the first event: a thousand take a megabyte, and most wait long for theirs. */
  private consume(delivery: Delivery): PromiseLike<Settlement> {
    return (this.composed ??= this.compose(this))(delivery);
  }
}
