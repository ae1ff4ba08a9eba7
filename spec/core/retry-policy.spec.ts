import { DEFAULT_RETRY, mergeRetry, retryDelay } from '../../lib/core/retry-policy';

const least = (): number => 0;
const middle = (): number => 0.5;
const most = (): number => 1;

describe('the delay of a retry', () => {
  it('doubles from attempt to attempt, up to the longest', () => {
    const delays = [1, 2, 3, 4, 5, 6, 7].map((attempt) => retryDelay(DEFAULT_RETRY, attempt, middle));
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  });

  it('stays the same when it is fixed', () => {
    const policy = mergeRetry(DEFAULT_RETRY, { backoff: 'fixed', delay: 70 });
    expect([1, 2, 10].map((attempt) => retryDelay(policy, attempt, middle))).toEqual([70, 70, 70]);
  });

  it('varies by the jitter in both directions', () => {
    expect(retryDelay(DEFAULT_RETRY, 1, least)).toBe(800);
    expect(retryDelay(DEFAULT_RETRY, 1, most)).toBe(1200);
    expect(retryDelay(DEFAULT_RETRY, 20, most)).toBe(36_000);
    expect(retryDelay(mergeRetry(DEFAULT_RETRY, { jitter: 0 }), 1, most)).toBe(1000);
    expect(retryDelay(mergeRetry(DEFAULT_RETRY, { jitter: 1 }), 1, least)).toBe(0);
  });

  it('is a whole number of milliseconds, however high the attempt', () => {
    for (const attempt of [1, 11, 53, 1000, 1_000_000]) {
      const delay = retryDelay({ ...DEFAULT_RETRY, delay: 3 }, attempt);
      expect(Number.isSafeInteger(delay)).toBe(true);
      expect(delay).toBeLessThanOrEqual(36_000);
    }
  });

  it('reaches over an outage of three minutes with the defaults', () => {
    const total = Array.from({ length: DEFAULT_RETRY.attempts }, (_, i) =>
      retryDelay(DEFAULT_RETRY, i + 1, middle),
    ).reduce((sum, delay) => sum + delay, 0);
    expect(total).toBeGreaterThanOrEqual(180_000);
  });
});

describe('a merged policy', () => {
  it('keeps what is not changed, and is frozen', () => {
    const merged = mergeRetry(DEFAULT_RETRY, { attempts: 3 });
    expect(merged).toEqual({ ...DEFAULT_RETRY, attempts: 3 });
    expect(Object.isFrozen(merged)).toBe(true);
    expect(DEFAULT_RETRY.attempts).toBe(10);
  });

  it('raises the longest delay with a longer delay, unless that is set too', () => {
    expect(mergeRetry(DEFAULT_RETRY, { delay: 60_000 }).maxDelay).toBe(60_000);
    expect(mergeRetry(DEFAULT_RETRY, { delay: 60_000, maxDelay: 40_000 }).maxDelay).toBe(40_000);
  });
});
