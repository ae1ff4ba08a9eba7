import { Server, type CustomTransportStrategy } from '@nestjs/microservices';
import { EventsConfigurationError } from '../../core/errors';
import type { EventSubscription } from '../../core/subscriptions';
import type { SubscribeOptions } from '../../core/handler-definition';

export interface EventsStrategyOptions {
  /** For all handlers of the strategy, over the defaults of the module. Default: none. */
  handlers?: Omit<SubscribeOptions, 'name'>;
  /**
   * What patterns begin with that is not part of the event's name: `events.` for controllers that were written to the
   * subjects of a cluster, `@EventPattern('events.user.created')`. Default: none.
   */
  prefix?: string;
  /**
   * Whether the guards, pipes, interceptors and filters of the whole application apply. Default: as in Nest, `true` in a
   * microservice; in an application with HTTP, the option `globalEnhancers` of the module, whatever `inheritAppConfig` says.
   * Where that leaves out any, a warning is logged; `false` here says that it is meant.
   */
  globalEnhancers?: boolean;
}

/** Subscribes the `@EventPattern` methods that Nest has for a strategy. */
export type BindStrategy = (strategy: EventsStrategy) => Promise<EventSubscription[]>;

/**
 * Serves the `@EventPattern` methods of existing controllers from this package: durable, retried, dead-lettered.
 *
 * ```ts
 * app.connectMicroservice({ strategy: new EventsStrategy() });
 * ```
 * `EventsModule` has to be registered in the application. Requests (`@MessagePattern`) stay with Nest's own transports.
 */
export class EventsStrategy extends Server implements CustomTransportStrategy {
  #bind: BindStrategy | undefined;
  #subscriptions: EventSubscription[] = [];

  constructor(readonly options: EventsStrategyOptions = {}) {
    super();
  }

  /** Called by the module of the application that the strategy is connected to. */
  servedBy(bind: BindStrategy): this {
    this.#bind = bind;
    return this;
  }

  async listen(callback: (error?: unknown) => void): Promise<void> {
    try {
      if (this.#bind === undefined) {
        throw new EventsConfigurationError(
          'strategy',
          'EventsStrategy finds no EventsModule: import `EventsModule.register(…)` in the application; ' +
            'before Nest 11.1.4, connect `app.get(EventsStrategy)` instead of a new one',
        );
      }
      this.#subscriptions = await this.#bind(this);
      callback();
    } catch (error) {
      callback(error);
    }
  }

  /** Stops its handlers; what they have not handled waits in the broker. */
  async close(): Promise<void> {
    await Promise.all(this.#subscriptions.splice(0).map((each) => each.unsubscribe()));
  }

  /** There is nothing to listen to: see `EventService#status`. */
  on(): void {}

  /** @throws Error always: the connection belongs to `EventService` */
  unwrap<T>(): T {
    throw new Error('EventsStrategy has no server of its own: inject EventService');
  }
}
