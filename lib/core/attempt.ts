import type { Deadlines, Expiring } from './deadlines';
import { EventsError } from './errors';
import type { InboundEvent } from './inbound-event';
import type { EventsLogger } from './logger';
import { isThenable } from './promises';

export interface AttemptParts {
  /** Hands the event to the handler, through what is between. Gives back a value or a promise, throws or rejects. */
  readonly run: (event: InboundEvent) => unknown;
  /** What a result stands for, if there is more to wait for than a promise. Default: itself. */
  readonly resultOf?: ((value: unknown, event: InboundEvent) => unknown) | undefined;
  /** Of the handler's timeout. */
  readonly deadlines: Deadlines;
  readonly logger: EventsLogger;
}

/**
 * One attempt of a handler at an event, within its time. When that is over, `context.signal` aborts and the attempt has
 * failed, which frees its slot; what the handler still returns or throws is ignored, and told to the logger.
 *
 * A class with two ways out, not a promise around the handler's: on Node 20 each promise costs an event 0.4 µs once
 * AsyncLocalStorage is in use, and the six that there were made half of what this package did for an event.
 */
export abstract class Attempt implements Expiring {
  expiresAt = 0;
  previous: Expiring | undefined = undefined;
  next: Expiring | undefined = undefined;
  ended = false;

  constructor(
    readonly event: InboundEvent,
    private readonly parts: AttemptParts,
  ) {}

  /** Called once, with what the handler gave back. Must not throw. */
  protected abstract succeeded(value: unknown): void;

  /** Called once, with what the handler threw. Must not throw. */
  protected abstract failed(error: unknown): void;

  begin(): void {
    const { run, deadlines } = this.parts;
    deadlines.begin(this);
    let result: unknown;
    try {
      result = run(this.event);
    } catch (error) {
      return this.#fails(error);
    }
    this.#ends(result);
  }

  expire(): void {
    const { event } = this;
    const error = new EventsError(
      'handler_timeout',
      `handler '${event.subscription}' did not finish '${event.name}' within ${event.timeout} ms`,
      { retryable: true },
    );
    event.abort(error);
    this.failed(error);
  }

  #ends(result: unknown): void {
    try {
      if (isThenable(result)) {
        // Another library's may do anything; only a promise of our own is sure to end once.
        Promise.resolve(result).then(
          (value) => this.#succeeds(value),
          (error: unknown) => this.#fails(error),
        );
        return;
      }
    } catch (error) {
      // It cannot even be looked at: nobody above would settle the event, and the subscription would stand still.
      return this.#fails(error);
    }
    this.#succeeds(result);
  }

  #succeeds(value: unknown): void {
    const { resultOf, deadlines } = this.parts;
    if (value !== undefined && resultOf !== undefined) {
      let result: unknown;
      try {
        result = resultOf(value, this.event);
      } catch (error) {
        return this.#fails(error);
      }
      if (result !== value) return this.#ends(result);
    }
    if (this.ended) return this.#tell('finished');
    deadlines.end(this);
    this.succeeded(value);
  }

  #fails(error: unknown): void {
    if (this.ended) return this.#tell('failed');
    this.parts.deadlines.end(this);
    this.failed(error);
  }

  #tell(outcome: string): void {
    const { subscription, name, id } = this.event;
    this.parts.logger.warn(
      `handler '${subscription}' ${outcome} '${name}' (id ${id}) after its timeout; ignored`,
    );
  }
}
