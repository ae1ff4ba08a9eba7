import type { CircuitBreaker } from './circuit-breaker';
import type { SubscriptionCounters } from './consumer';
import type { HandlerDefinition, ResolvedSubscribeOptions } from './handler-definition';
import type { Consumer, TransportSubscription } from './transport';

const NONE: readonly never[] = Object.freeze([]);

/** A handler with an identity that is its own: what it does is counted here, and where its events come from is kept. */
export class BoundHandler implements SubscriptionCounters {
  running = 0;
  succeeded = 0;
  retried = 0;
  deadLettered = 0;
  breaker: CircuitBreaker | undefined = undefined;
  transports: readonly TransportSubscription[] = NONE;
  #consumer: Consumer | undefined = undefined;

  constructor(
    readonly identity: string,
    readonly definition: HandlerDefinition,
    readonly options: ResolvedSubscribeOptions,
    private readonly compose: (bound: BoundHandler) => Consumer,
  ) {}

  /** Composed once, at the first event: a thousand pipelines take a megabyte, and most wait long for theirs. */
  readonly consume: Consumer = (delivery) => (this.#consumer ??= this.compose(this))(delivery);
}
