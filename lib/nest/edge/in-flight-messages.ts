import { isObservable, Observable } from 'rxjs';

/** Messages of Nest's transports whose handlers run. Nest's servers do not wait for them when they close. */
export class InFlightMessages {
  #count = 0;
  #idle: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  /** Counts a message until its handler has ended; one that gives an Observable, until its first value. */
  track<T>(run: () => T): T {
    this.#count++;
    let running = true;
    const end = (): void => {
      if (!running) return;
      running = false;
      if (--this.#count === 0) this.#onIdle?.();
    };
    try {
      return until(run(), end) as T;
    } catch (error) {
      end();
      throw error;
    }
  }

  /** Resolves when no handler runs. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return (this.#idle ??= new Promise((resolve) => {
      this.#onIdle = () => {
        this.#idle = undefined;
        this.#onIdle = undefined;
        resolve();
      };
    }));
  }
}

function until(result: unknown, end: () => void): unknown {
  if (result instanceof Promise) {
    return result.then(
      (value: unknown) => until(value, end),
      (error: unknown) => {
        end();
        throw error;
      },
    );
  }
  if (!isObservable(result)) {
    end();
    return result;
  }
  return new Observable((subscriber) => {
    const subscription = result.subscribe({
      next: (value) => {
        subscriber.next(value);
        end();
      },
      error: (error) => subscriber.error(error),
      complete: () => subscriber.complete(),
    });
    subscription.add(end);
    return subscription;
  });
}
