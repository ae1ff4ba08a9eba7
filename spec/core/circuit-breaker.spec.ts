import { CircuitBreaker, type CircuitBreakerOptions } from '../../lib/core/circuit-breaker';
import { createConsumer } from '../../lib/core/consumer';
import { Deadlines } from '../../lib/core/deadlines';
import { NonRetryableError } from '../../lib/core/errors';
import type { EventsLogger } from '../../lib/core/logger';
import type { Settlement } from '../../lib/core/settlement';
import type { Delivery } from '../../lib/core/transport';
import { silentLogger } from '../support/silent-logger';

const OPTIONS: CircuitBreakerOptions = { threshold: 3, window: 10_000, pause: 5000 };

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

/** What the breaker said: each limit it set, and each line it logged. */
class Recorded {
  readonly limits: number[] = [];
  readonly lines: string[] = [];
  readonly breaker: CircuitBreaker;

  constructor(options: Partial<CircuitBreakerOptions> = {}) {
    const logger: EventsLogger = {
      ...silentLogger,
      error: (line) => this.lines.push(`error: ${line}`),
      log: (line) => this.lines.push(`log: ${line}`),
    };
    const limit = (concurrency: number): unknown => this.limits.push(concurrency);
    this.breaker = new CircuitBreaker({ ...OPTIONS, ...options }, 'Mail.send', limit, logger);
  }

  fail(times: number): void {
    for (let i = 0; i < times; i++) this.breaker.failed();
  }
}

describe('a circuit breaker', () => {
  it('stays closed below its threshold', () => {
    const { breaker, limits, ...recorded } = new Recorded();
    breaker.failed();
    breaker.failed();
    expect(breaker.closed).toBe(true);
    expect(limits).toEqual([]);
    expect(recorded.lines).toEqual([]);
  });

  it('opens at so many failures in a row, and says so once', () => {
    const recorded = new Recorded();
    recorded.fail(5);
    expect(recorded.breaker.closed).toBe(false);
    expect(recorded.limits).toEqual([0]);
    expect(recorded.lines).toEqual([expect.stringMatching(/^error: 'Mail.send' failed 3 times.*5000 ms/)]);
  });

  it('begins to count again after a success', () => {
    const recorded = new Recorded();
    for (let i = 0; i < 5; i++) {
      recorded.fail(2);
      recorded.breaker.succeeded();
    }
    expect(recorded.limits).toEqual([]);
    expect(recorded.lines).toEqual([]);
  });

  it('ignores failures that are further apart than its window', () => {
    const recorded = new Recorded();
    for (let i = 0; i < 10; i++) {
      recorded.fail(1);
      jest.advanceTimersByTime(5001);
    }
    expect(recorded.limits).toEqual([]);
    recorded.fail(2); // with the last of them, three within the window
    expect(recorded.limits).toEqual([0]);
  });

  it('counts the failures at both ends of its window', () => {
    const recorded = new Recorded({ threshold: 2 });
    recorded.fail(1);
    jest.advanceTimersByTime(10_000);
    recorded.fail(1);
    expect(recorded.limits).toEqual([0]);
  });

  it('opens at the first failure where the threshold is 1', () => {
    const recorded = new Recorded({ threshold: 1 });
    recorded.fail(1);
    expect(recorded.limits).toEqual([0]);
  });

  it('lets one event through after each pause until one succeeds', () => {
    const recorded = new Recorded();
    recorded.fail(3);
    jest.advanceTimersByTime(4999);
    expect(recorded.limits).toEqual([0]);
    jest.advanceTimersByTime(1);
    expect(recorded.limits).toEqual([0, 1]);
    expect(recorded.breaker.closed).toBe(false);

    recorded.fail(1);
    expect(recorded.limits).toEqual([0, 1, 0]);
    jest.advanceTimersByTime(5000);
    recorded.breaker.succeeded();
    expect(recorded.limits).toEqual([0, 1, 0, 1, Infinity]);
    expect(recorded.breaker.closed).toBe(true);
    expect(recorded.lines.slice(1)).toEqual([expect.stringMatching(/^log: 'Mail.send' works again/)]);
  });

  it('waits for the outcome of the probe, however long it takes', () => {
    const recorded = new Recorded();
    recorded.fail(3);
    jest.advanceTimersByTime(500_000);
    expect(recorded.limits).toEqual([0, 1]);
  });

  it('is closed by the success of what began before it opened, and does not probe then', () => {
    const recorded = new Recorded();
    recorded.fail(3);
    recorded.breaker.succeeded();
    jest.advanceTimersByTime(10_000);
    expect(recorded.limits).toEqual([0, Infinity]);
  });

  it('needs all failures again after it was closed', () => {
    const recorded = new Recorded();
    recorded.fail(3);
    recorded.breaker.succeeded();
    recorded.fail(2);
    expect(recorded.breaker.closed).toBe(true);
    recorded.fail(1);
    expect(recorded.limits).toEqual([0, Infinity, 0]);
  });

  it('leaves no timer behind when it is stopped, whatever fails later', () => {
    const recorded = new Recorded();
    recorded.fail(3);
    recorded.breaker.stop();
    expect(jest.getTimerCount()).toBe(0);
    recorded.breaker.succeeded();
    recorded.fail(3);
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('a consumer with a circuit breaker', () => {
  const delivery = (attempt: number): Delivery => ({
    subject: 'shop.order.placed',
    name: 'order.placed',
    headers: {},
    body: new Uint8Array(),
    attempt,
    storedAt: 0,
    fallbackId: 'shop-1',
  });

  function consumer(
    recorded: Recorded,
    outcome: () => Promise<void>,
  ): (attempt: number) => PromiseLike<Settlement> {
    const consume = createConsumer({
      name: 'Mail.send',
      retry: { attempts: 1, delay: 100, backoff: 'fixed', maxDelay: 100, jitter: 0 },
      timeout: 1000,
      run: outcome,
      deadlines: new Deadlines(1000),
      counters: { running: 0, succeeded: 0, retried: 0, deadLettered: 0 },
      breaker: recorded.breaker,
      logger: silentLogger,
    });
    return (attempt) => consume(delivery(attempt));
  }

  it('gives events up while it is closed, and keeps them for another pause while it is not', async () => {
    const recorded = new Recorded();
    const consume = consumer(recorded, () => Promise.reject(new Error('the database is down')));
    expect(await consume(1)).toEqual({ kind: 'retry', delay: 100 });
    expect(await consume(2)).toMatchObject({
      kind: 'dead-letter',
      failure: { reason: 'attempts_exhausted' },
    });
    expect(await consume(2)).toEqual({ kind: 'retry', delay: 5000 }); // this one opens it
    expect(await consume(1000)).toEqual({ kind: 'retry', delay: 5000 });
    jest.advanceTimersByTime(5000);
    expect(await consume(2)).toEqual({ kind: 'retry', delay: 5000 }); // the probe
    expect(recorded.limits).toEqual([0, 1, 0]);
  });

  it('takes an event that can never succeed for a handler that works', async () => {
    const recorded = new Recorded();
    const consume = consumer(recorded, () => Promise.reject(new NonRetryableError('no such account')));
    recorded.fail(3);
    jest.advanceTimersByTime(5000);
    expect(await consume(1)).toMatchObject({ kind: 'dead-letter', failure: { reason: 'non_retryable' } });
    expect(recorded.breaker.closed).toBe(true);
  });
});
