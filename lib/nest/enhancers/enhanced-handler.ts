import type { ExecutionContext, PipeTransform, Type } from '@nestjs/common';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host';
import { isObservable, lastValueFrom } from 'rxjs';
import { isThenable } from '../../core/promises';
import type { EventContext, EventHandler } from '../../core/event-map';
import type { GuardDenied } from '../options/options';
import { failureOf, forbidden, type Refusal } from './denial';
import type { EnhancerSet } from './enhancer-metadata';
import { exceptionFilters } from './exception-filters';
import { intercept, resultOf } from './interceptors';
import type { Parameter } from './parameters';

export type Method = (this: unknown, ...args: unknown[]) => unknown;

/** @param declared of the class: what carries metadata. The instance may have another in its place (a spy, a wrapper) */
export function callMethod(instance: object, name: string, declared: Method, args: unknown[]): unknown {
  const method = (instance as Record<string, Method | undefined>)[name] ?? declared;
  return method.apply(instance, args);
}

export interface EnhancedParts {
  readonly type: Type;
  readonly instance: object;
  readonly method: Method;
  readonly methodName: string;
  readonly enhancers: EnhancerSet;
  readonly parameters: readonly Parameter[];
  /** What `ExecutionContext#getType` says. */
  readonly contextType: string;
  readonly guardDenied: GuardDenied;
}

/**
 * Composes guards, interceptors, pipes and the method, with the filters around them, in the order and with the meaning
 * they have in a Nest microservice. Composed once for a handler, or once for an event where its instance is made for it.
 */
export function enhancedHandler(parts: EnhancedParts): EventHandler {
  const { type, instance, method, methodName, enhancers, contextType, guardDenied } = parts;
  const { guards, interceptors } = enhancers;
  const argumentsOf = argumentMaker(parts.parameters, enhancers.pipes);
  const filter = enhancers.filters.length > 0 ? exceptionFilters(enhancers.filters) : undefined;

  return async (data, context) => {
    const host = new ExecutionContextHost([data, context], type, method);
    host.setType(contextType);
    let refusal: Refusal | undefined;
    const refused = (by: Refusal['by'], enhancer: object, error: unknown): unknown => {
      refusal = { by, enhancer, error };
      return error;
    };
    const call = (): unknown => {
      const args = argumentsOf(data, context, host, refused);
      return args instanceof Promise
        ? args.then((all) => callMethod(instance, methodName, method, all))
        : callMethod(instance, methodName, method, args);
    };
    try {
      for (const guard of guards) {
        let allowed: unknown;
        try {
          allowed = await guard.canActivate(host);
          if (isObservable(allowed)) allowed = await lastValueFrom(allowed);
        } catch (error) {
          throw refused('guard', guard, error);
        }
        if (!allowed) throw refused('guard', guard, forbidden());
      }
      return await (interceptors.length > 0 ? intercept(interceptors, host, call) : resultOf(await call()));
    } catch (thrown) {
      const failed = (error: unknown): unknown =>
        refusal !== undefined && refusal.error === error
          ? failureOf(refusal, context.name, guardDenied)
          : error;
      if (filter === undefined) throw failed(thrown);
      return filter(thrown, host).catch((error: unknown) => {
        throw failed(error);
      });
    }
  };
}

type ArgumentMaker = (
  data: unknown,
  context: EventContext,
  host: ExecutionContext,
  refused: (by: Refusal['by'], pipe: object, error: unknown) => unknown,
) => unknown[] | Promise<unknown[]>;

function argumentMaker(parameters: readonly Parameter[], shared: readonly PipeTransform[]): ArgumentMaker {
  const all = parameters.map((each) => ({
    ...each,
    pipes: each.piped ? [...shared, ...each.pipes] : each.pipes,
  }));
  const length = Math.max(...all.map(({ index }) => index)) + 1;
  const piped = async (...[data, context, host, refused]: Parameters<ArgumentMaker>): Promise<unknown[]> => {
    const args = new Array<unknown>(length).fill(undefined);
    for (const { index, value, pipes, metadata } of all) {
      let argument = value(data, context, host);
      for (const pipe of pipes) {
        try {
          argument = await pipe.transform(await argument, metadata);
        } catch (error) {
          throw refused('pipe', pipe, error);
        }
      }
      args[index] = await argument;
    }
    return args;
  };
  if (all.some(({ pipes }) => pipes.length > 0)) return piped;
  // Without pipes there is nothing to wait for, unless a decorator gives a promise: each costs an event.
  return (data, context, host) => {
    const args = new Array<unknown>(length).fill(undefined);
    for (const { index, value } of all) args[index] = value(data, context, host);
    return args.some(isThenable) ? Promise.all(args) : args;
  };
}
