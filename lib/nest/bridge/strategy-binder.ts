import { Logger } from '@nestjs/common';
import type { ApplicationConfig } from '@nestjs/core';
import { RequestContextHost } from '@nestjs/microservices/context/request-context-host';
import type { EventService } from '../../core/event-service';
import type { EventSubscription } from '../../core/subscriptions';
import type { Application } from '../assembly';
import { EnhancerResolver } from '../enhancers/enhancer-resolver';
import { resultOf } from '../enhancers/interceptors';
import { HandlerBinder, type HandlerView } from '../handler-binder';
import type { ResolvedOptions } from '../options/resolve-options';
import { EventsStrategy } from './events-strategy';
import { patternMethods } from './pattern-explorer';
import { RpcEventContext } from './rpc-event-context';
import { enhancersLeftOut, unansweredRequests } from './strategy-warnings';

/** As in a Nest microservice. */
const RPC_VIEW: HandlerView = {
  contextType: 'rpc',
  request: (data, context) => RequestContextHost.create(context.name, data, context as RpcEventContext),
};

/** Subscribes the `@EventPattern` methods of this application for the `EventsStrategy` that is connected to it. */
export class StrategyBinder {
  #hasOtherTransports = false;

  constructor(
    private readonly service: EventService,
    private readonly options: ResolvedOptions,
    private readonly application: Application,
  ) {
    const { modules } = application;
    // Nest tells of each strategy when it is connected; versions before 11.1.4 do not.
    modules.getRpcTargetRegistry?.<unknown>().subscribe((target) => {
      if (target instanceof EventsStrategy) target.servedBy(this.bind);
      else this.#hasOtherTransports = true;
    });
  }

  /** @throws the first error of a handler that could not be subscribed */
  readonly bind = async (strategy: EventsStrategy): Promise<EventSubscription[]> => {
    const { moduleRef, modules } = this.application;
    const { handlers, globalEnhancers = this.#globalEnhancers } = strategy.options;
    const config = moduleRef['container'].applicationConfig as ApplicationConfig;
    const globals = globalEnhancers ? config : undefined;
    const binder = new HandlerBinder(new EnhancerResolver(globals), this.options.guardDenied, RPC_VIEW);
    const methods = patternMethods(strategy, modules.values());
    for (const warning of [
      ...unansweredRequests(strategy, this.#hasOtherTransports),
      ...(globalEnhancers || strategy.options.globalEnhancers === false || methods.length === 0
        ? []
        : enhancersLeftOut(config)),
    ]) {
      new Logger('Events').warn(warning);
    }
    return Promise.all(
      methods.map(async ({ place, name, patterns }) => {
        const handler = await binder.bind(place);
        return this.service.bind({
          name,
          patterns,
          options: handlers ?? {},
          handler: (data, context) => handler(data, new RpcEventContext(context)),
          resultOf,
        });
      }),
    );
  };

  get #globalEnhancers(): boolean {
    // What a microservice has on its own is all there is; an application with HTTP shares what is meant for requests.
    const { httpAdapter } = this.application.http as { httpAdapter: unknown };
    return httpAdapter == null || this.options.globalEnhancers;
  }
}
