import type { ModulesContainer } from '@nestjs/core';
import { isObservable, Observable, type Subscription } from 'rxjs';
import { EventsStrategy } from '../bridge/events-strategy';
import { readOrigin, type Correlation } from '../../middleware';
import type { InFlightMessages } from './in-flight-messages';
import { rpcHeadersOf } from './rpc-headers';

/** What Nest hands a server to call; several of one event are chained by `next`. */
interface Handler {
  (...args: unknown[]): unknown;
  next?: Handler;
}

interface RpcTarget {
  addHandler(pattern: unknown, handler: Handler, ...rest: unknown[]): void;
}

type Entering = <T>(run: () => T) => T;

/**
 * What is emitted for a message of one of Nest's own transports inherits the message's correlation id and trace, and a
 * shutdown waits for its handler. Nest tells
 * of each server of the application before handlers are given to it: from 11.1.4 on, and nothing is inherited before.
 * @returns what ends it
 */
export function followRpcTargets(
  modules: Partial<Pick<ModulesContainer, 'getRpcTargetRegistry'>>,
  correlation: Correlation,
  messages: InFlightMessages,
): Subscription | undefined {
  return modules.getRpcTargetRegistry?.<unknown>().subscribe((target) => {
    if (takesHandlers(target)) followHandlers(target, correlation, messages);
  });
}

/** Whether its handlers are to be followed; a strategy that hands over events has their correlation already. */
const takesHandlers = (target: unknown): target is RpcTarget =>
  !(target instanceof EventsStrategy) &&
  typeof (target as Partial<RpcTarget> | null | undefined)?.addHandler === 'function';

/** On this one server, never on its class: other applications of the process have theirs. */
function followHandlers(target: RpcTarget, correlation: Correlation, messages: InFlightMessages): void {
  const addHandler = target.addHandler.bind(target);
  target.addHandler = (pattern, handler, ...rest) =>
    addHandler(pattern, following(handler, correlation, messages), ...rest);
}

function following(handler: Handler, correlation: Correlation, messages: InFlightMessages): Handler {
  const entering: Handler = (...args) => {
    const headers = rpcHeadersOf(args);
    if (headers === undefined) return handler(...args);
    const origin = readOrigin(headers);
    const enter: Entering = (run) => correlation.enter(origin, run);
    // The messages of a gRPC stream arrive later, from outside.
    const [data, ...others] = args;
    const result = enter(() => handler(isObservable(data) ? arrivingIn(data, enter) : data, ...others));
    return result instanceof Promise
      ? result.then((value: unknown) => subscribedIn(value, enter))
      : subscribedIn(result, enter);
  };
  const followed: Handler = (...args) => messages.track(() => entering(...args));
  // Nest chains the handlers it stored, which are these, and the inner one looks for its `next` on itself.
  return Object.defineProperties(followed, {
    name: { value: handler.name, configurable: true },
    next: {
      get: () => handler.next,
      set: (next: Handler) => (handler.next = next),
      configurable: true,
      enumerable: true,
    },
  });
}

/** With interceptors the handler runs when Nest subscribes to its result, which is after the call. */
const subscribedIn = (result: unknown, enter: Entering): unknown =>
  isObservable(result) ? new Observable((subscriber) => enter(() => result.subscribe(subscriber))) : result;

function arrivingIn(messages: Observable<unknown>, enter: Entering): Observable<unknown> {
  const arriving = new Observable((subscriber) =>
    messages.subscribe({
      next: (message) => enter(() => subscriber.next(message)),
      error: (error) => enter(() => subscriber.error(error)),
      complete: () => enter(() => subscriber.complete()),
    }),
  );
  // Nest calls it when the handler is about to run, and lets go of the messages that it held back till then.
  const drainBuffer = Object.getOwnPropertyDescriptor(messages, 'drainBuffer');
  return drainBuffer === undefined ? arriving : Object.defineProperty(arriving, 'drainBuffer', drainBuffer);
}
