/** What gives a promise only where there is something to wait for: a promise costs, and a thousand handlers start at once. */
export type MaybePromise<T> = T | PromiseLike<T>;

/** As `await` tells what to wait for. */
export const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
  typeof (value as { then?: unknown }).then === 'function';

/** What it gives back or throws, as a promise. */
export function promiseOf<R>(run: () => MaybePromise<R>): Promise<R> {
  try {
    return Promise.resolve(run());
  } catch (error) {
    // What was thrown is passed on as it is, Error or not.
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    return Promise.reject(error);
  }
}

/** Resolves when the promise has ended, either way, or `timeout` milliseconds are over. */
export async function endsWithin(timeout: number, promise: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeout)));
  await Promise.race([promise.then(nothing, nothing), over]);
  clearTimeout(timer);
}

const nothing = (): void => undefined;

/** One of many of which something was asked, that could not give it. */
export interface Failed<T> {
  readonly item: T;
  readonly reason: unknown;
}

/**
 * Does it for each item, all at once; resolves to those for which it threw or rejected, in their order. There is no promise
 * for what is done at once.
 */
export async function failuresOf<T>(items: readonly T[], run: (item: T) => unknown): Promise<Failed<T>[]> {
  const failed: Failed<T>[] = [];
  const waiting: Promise<void>[] = [];
  const fail = (place: number, reason: unknown): void =>
    void (failed[place] = { item: items[place] as T, reason });
  const wait = async (place: number, made: PromiseLike<unknown>): Promise<void> => {
    try {
      await made;
    } catch (reason) {
      fail(place, reason);
    }
  };
  items.forEach((item, place) => {
    try {
      const made = run(item);
      if (isThenable(made)) waiting.push(wait(place, made));
    } catch (reason) {
      fail(place, reason);
    }
  });
  await Promise.all(waiting);
  return failed.filter(() => true); // without the gaps
}
