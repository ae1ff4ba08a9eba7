import { BoundHandler } from './bound-handler';
import type { SubscriptionCounters } from './consumer';
import type { EventContract } from './contract';
import { EventsError } from './errors';
import { isWildcard } from './event-name';
import {
  identityOf,
  resolveSubscribeOptions,
  resolveSubscriptionDefaults,
  specOf,
  withoutMixture,
  type HandlerDefinition,
  type ResolvedSubscribeOptions,
  type SubscriptionDefaults,
} from './handler-definition';
import { JoinedSubscription } from './joined-subscription';
import { joinedDurable, sanitize } from './names';
import { pipelines, type PipelineParts } from './pipelines';
import { failuresOf, isThenable, promiseOf, type Failed, type MaybePromise } from './promises';
import type { Consumer, EventTransport, SubscriptionSpec, TransportSubscription } from './transport';

/** A handler that is bound. */
export interface EventSubscription {
  /** Identity of the handler. */
  readonly name: string;
  readonly patterns: readonly string[];
  /**
   * Stops delivery to this handler and waits for what runs, `shutdownTimeout` at most. The broker keeps a durable's events
   * for when it is back. Called within the handler it stops, which would be waiting for itself, it does not wait.
   */
  unsubscribe(this: void): Promise<void>;
}

export interface SubscriptionStatus extends Readonly<SubscriptionCounters> {
  readonly name: string;
  readonly patterns: readonly string[];
}

export interface SubscriptionsParts extends PipelineParts {
  readonly transport: EventTransport;
  readonly defaults: SubscriptionDefaults;
  /** Milliseconds a stop lets running handlers take. */
  readonly shutdownTimeout: number;
  /** Whether handlers are subscribed at all; `false` for programs that only emit. */
  readonly consume: boolean;
  /** @throws EventsError `unknown_event` if no handler may listen to this pattern */
  readonly assertKnown?: (pattern: string, handler: string) => void;
  /** Called with each contract that events are emitted or handled by. @throws EventsError `unknown_event` if it may not be used */
  readonly useContract?: (contract: EventContract) => void;
  /** Identity of the handler on whose behalf this is asked; `undefined` outside of handlers. Default: never in one. */
  readonly handling?: () => string | undefined;
}

/** The handlers of one service: bound, started and stopped. */
export class Subscriptions {
  readonly #parts: SubscriptionsParts;
  readonly #compose: (bound: BoundHandler) => Consumer;
  readonly #defaults: ResolvedSubscribeOptions;
  /** What the names of the service's durables begin with. */
  readonly #prefix: string;
  readonly #bound = new Map<string, BoundHandler>();
  #state: 'bound' | 'started' | 'stopping' = 'bound';

  constructor(parts: SubscriptionsParts) {
    this.#parts = parts;
    this.#compose = pipelines(parts);
    this.#defaults = resolveSubscriptionDefaults(parts.defaults);
    this.#prefix = joinedDurable(sanitize(parts.defaults.app), '');
  }

  /** @throws EventsError when the definition is wrong, its identity is taken, the broker refuses it, or `closed` */
  async bind(definition: HandlerDefinition): Promise<EventSubscription> {
    // Copies: who bound it may go on with what is theirs.
    const { name, patterns, handler, resultOf, options, contracts } = definition;
    const bound = await this.#bind({ name, patterns: [...patterns], handler, resultOf, options, contracts });
    return { name, patterns: [...patterns], unsubscribe: () => this.#unsubscribe(bound) };
  }

  /** As `bind`, of many at once, without a promise for one that nobody waits for. Resolves to those that could not be. */
  bindAll<T>(
    items: readonly T[],
    definitionOf: (item: T) => MaybePromise<HandlerDefinition>,
  ): Promise<Failed<T>[]> {
    return failuresOf(items, (item) => {
      const definition = definitionOf(item);
      return isThenable(definition) ? definition.then((each) => this.#bind(each)) : this.#bind(definition);
    });
  }

  #bind(definition: HandlerDefinition): MaybePromise<BoundHandler> {
    if (this.#state === 'stopping') {
      const what = `cannot subscribe '${definition.name}': the event service is draining or closed`;
      throw new EventsError('closed', what);
    }
    const { defaults, consume } = this.#parts;
    const options = resolveSubscribeOptions(definition, this.#defaults);
    const identity = identityOf(definition);
    const spec = specOf(definition, defaults.app, this.#prefix + identity, options);
    const bound = this.#claim(definition, identity, options);
    if (!consume) return bound;
    const specs = spec.patterns.some(isWildcard) ? withoutMixture(spec) : [spec];
    const { logger } = this.#parts;
    const made =
      specs.length === 1 && specs[0] !== undefined
        ? this.#bindToOne(specs[0], bound)
        : this.#bindToAll(specs, bound);
    const told = (whole: BoundHandler): BoundHandler => {
      logger.log(sentenceOf(definition.name, specs));
      return whole;
    };
    return isThenable(made) ? made.then(told) : told(made);
  }

  #bindToOne(spec: SubscriptionSpec, bound: BoundHandler): MaybePromise<BoundHandler> {
    let made: MaybePromise<TransportSubscription>;
    try {
      made = this.#parts.transport.subscribe(spec, bound.consumer);
    } catch (error) {
      this.#release(bound);
      throw error;
    }
    return isThenable(made) ? this.#beginLater(bound, made) : this.#begin(bound, made);
  }

  #beginLater(bound: BoundHandler, made: PromiseLike<TransportSubscription>): Promise<BoundHandler> {
    // A promise of our own, which is sure to end once.
    return Promise.resolve(made).then(
      (transport) => this.#begin(bound, transport),
      (reason: unknown) => {
        this.#release(bound);
        throw reason;
      },
    );
  }

  async #bindToAll(specs: readonly SubscriptionSpec[], bound: BoundHandler): Promise<BoundHandler> {
    const { transport } = this.#parts;
    const { consumer } = bound;
    const results = await Promise.allSettled(
      specs.map((spec) => promiseOf(() => transport.subscribe(spec, consumer))),
    );
    const held = results.filter((result) => result.status === 'fulfilled').map(({ value }) => value);
    const joined = new JoinedSubscription(held);
    const failed = results.find((result) => result.status === 'rejected');
    return failed === undefined ? this.#begin(bound, joined) : this.#end(bound, joined, failed.reason);
  }

  #begin(bound: BoundHandler, transport: TransportSubscription): MaybePromise<BoundHandler> {
    // A drain or an unsubscribe may have come in between; then nobody else would stop it.
    if (this.#bound.get(bound.identity) !== bound || this.#state === 'stopping') {
      const what = `'${bound.definition.name}' was unsubscribed while it was being subscribed`;
      return this.#end(bound, transport, new EventsError('closed', what));
    }
    bound.transport = transport;
    try {
      if (this.#state === 'started') transport.start();
    } catch (error) {
      return this.#end(bound, transport, error);
    }
    return bound;
  }

  /** Leaves nothing of what could not be bound, then throws the reason. */
  async #end(bound: BoundHandler, transport: TransportSubscription, reason: unknown): Promise<never> {
    await Promise.allSettled([promiseOf(() => transport.stop(0))]);
    // Not before: two subscriptions of one identity would share its events.
    this.#release(bound);
    throw reason;
  }

  #release(bound: BoundHandler): void {
    if (this.#bound.get(bound.identity) === bound) this.#bound.delete(bound.identity);
    bound.breaker?.stop();
  }

  /** @throws EventsError `unknown_event`, `duplicate_handler` */
  #claim(definition: HandlerDefinition, identity: string, options: ResolvedSubscribeOptions): BoundHandler {
    const { name, patterns } = definition;
    const { assertKnown, useContract } = this.#parts;
    if (assertKnown !== undefined) for (const pattern of patterns) assertKnown(pattern, name);
    for (const contract of definition.contracts ?? []) useContract?.(contract);
    const other = this.#bound.get(identity);
    if (other !== undefined) {
      throw new EventsError(
        'duplicate_handler',
        `two handlers have the identity '${identity}': '${other.definition.name}' (${other.definition.patterns.join(', ')}) and ` +
          `'${name}' (${patterns.join(', ')}); give one of them another \`name\``,
      );
    }
    const bound = new BoundHandler(identity, definition, options, this.#compose);
    this.#bound.set(identity, bound);
    return bound;
  }

  /** Begins delivery to all of them, bound already or later. */
  start(): void {
    this.#state = 'started';
    this.#bound.forEach(({ transport }) => transport?.start());
  }

  /** Stops all; nothing can be bound any more. Never rejects. */
  async stopAll(): Promise<void> {
    const { shutdownTimeout, logger } = this.#parts;
    this.#state = 'stopping';
    for (const { breaker } of this.#bound.values()) breaker?.stop();
    const results = await Promise.allSettled(
      [...this.#bound.values()].map(({ transport }) => promiseOf(() => transport?.stop(shutdownTimeout))),
    );
    for (const result of results) {
      if (result.status === 'rejected')
        logger.error(`a subscription did not stop cleanly: ${String(result.reason)}`);
    }
  }

  /** What is wrong with them at this moment, one sentence each. */
  get problems(): string[] {
    return [...this.#bound.values()]
      .filter(({ breaker }) => breaker?.closed === false)
      .map(({ definition }) => `the circuit of '${definition.name}' is open: all its events fail`);
  }

  get status(): SubscriptionStatus[] {
    return [...this.#bound.values()].map(({ definition, running, succeeded, retried, deadLettered }) => {
      const { name, patterns } = definition;
      return { name, patterns, running, succeeded, retried, deadLettered };
    });
  }

  async #unsubscribe(bound: BoundHandler): Promise<void> {
    // Ended before; the identity may be another subscription's by now.
    if (this.#bound.get(bound.identity) !== bound) return;
    bound.breaker?.stop();
    const stopped = this.#stop(bound);
    const { name } = bound.definition;
    if (this.#parts.handling?.() !== name) return stopped;
    const { logger } = this.#parts;
    stopped.catch((error: unknown) => {
      logger.error(`the subscription of '${name}' did not stop cleanly: ${String(error)}`);
    });
  }

  async #stop(bound: BoundHandler): Promise<void> {
    const { shutdownTimeout } = this.#parts;
    await bound.transport?.stop(shutdownTimeout);
    // Only now may the identity be used again: two subscriptions of one identity would share its events.
    if (this.#bound.get(bound.identity) === bound) this.#bound.delete(bound.identity);
  }
}

/** `'pay' is bound: durable 'shop__pay' (order.placed, order.paid)`. */
function sentenceOf(handler: string, specs: readonly SubscriptionSpec[]): string {
  const places = specs.map(({ durable, delivery, broadcast, patterns }) => {
    // A broadcast has a consumer of its own in each instance.
    const place = broadcast ? `${delivery} broadcast` : `${delivery} '${durable}'`;
    return `${place} (${patterns.join(', ')})`;
  });
  return `'${handler}' is bound: ${places.join(' and ')}`;
}
