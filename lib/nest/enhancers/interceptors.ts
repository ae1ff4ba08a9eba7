import { AsyncResource } from 'node:async_hooks';
import type { ExecutionContext, NestInterceptor } from '@nestjs/common';
import { isObservable, lastValueFrom, Observable, type Subscription } from 'rxjs';
import { isThenable } from '../../core/promises';

/**
 * Runs `last` inside the interceptors, the first outermost, with what Nest promises them: nothing below an interceptor
 * runs until it subscribes to `handle()`, each subscription runs it again, and it runs in the asynchronous context in
 * which `handle()` was called (so that `als.run(store, () => next.handle())` works).
 *
 * Nest binds that context with `AsyncResource.bind`, whose function properties cost 90 µs per interceptor and event;
 * a bare resource does the same for less than one.
 */
export async function intercept(
  interceptors: readonly NestInterceptor[],
  host: ExecutionContext,
  last: () => unknown,
): Promise<unknown> {
  const step = (index: number): unknown => {
    const interceptor = interceptors[index];
    return interceptor === undefined
      ? last()
      : interceptor.intercept(host, { handle: () => deferred(() => step(index + 1)) });
  };
  return resultOf(await step(0));
}

/** What a handler, an interceptor or a filter gave back, waited for to its end: of an Observable the last value. */
export const resultOf = (value: unknown): unknown =>
  isObservable(value) ? lastValueFrom(value, { defaultValue: undefined }) : value;

function deferred(run: () => unknown): Observable<unknown> {
  const context = new AsyncResource('EventInterceptor');
  return new Observable((subscriber) => {
    let inner: Subscription | undefined;
    const pass = (value: unknown): void => {
      if (subscriber.closed) return;
      if (isObservable(value)) {
        inner = context.runInAsyncScope(() => value.subscribe(subscriber));
      } else {
        subscriber.next(value);
        subscriber.complete();
      }
    };
    try {
      const result = context.runInAsyncScope(run);
      if (isThenable(result)) result.then(pass, (error: unknown) => subscriber.error(error));
      else pass(result);
    } catch (error) {
      subscriber.error(error);
    }
    return () => inner?.unsubscribe();
  });
}
