/** What gives a promise only where there is something to wait for: a promise costs, and a thousand handlers start at once. */
export type MaybePromise<T> = T | Promise<T>;

/** As `await` tells what to wait for. */
export const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
  typeof (value as { then?: unknown }).then === 'function';

/** What it gives back or throws, as a promise; one that it gives back is that promise. */
export function promiseOf<R>(run: () => MaybePromise<R>): Promise<R> {
  try {
    return Promise.resolve(run());
  } catch (error) {
    // What was thrown is passed on as it is, Error or not.
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    return Promise.reject(error);
  }
}

/** As `Promise.allSettled`, of what `make` gives for each item; what is there at once has no promise. */
export async function settleAll<T, R>(
  items: readonly T[],
  make: (item: T) => MaybePromise<R>,
): Promise<PromiseSettledResult<R>[]> {
  const results: PromiseSettledResult<R>[] = [];
  const waiting: Promise<void>[] = [];
  const wait = async (place: number, promise: PromiseLike<R>): Promise<void> => {
    try {
      results[place] = { status: 'fulfilled', value: await promise };
    } catch (reason) {
      results[place] = { status: 'rejected', reason };
    }
  };
  for (let place = 0; place < items.length; place++) {
    try {
      const made = make(items[place] as T);
      if (isThenable(made)) waiting.push(wait(place, made));
      else results[place] = { status: 'fulfilled', value: made };
    } catch (reason) {
      results[place] = { status: 'rejected', reason };
    }
  }
  await Promise.all(waiting);
  return results;
}
