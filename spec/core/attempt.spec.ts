import { createConsumer } from '../../lib/core/consumer';
import { Deadlines } from '../../lib/core/deadlines';
import { PendingSettlement, whenSettled } from '../../lib/core/pending-settlement';
import type { Settlement } from '../../lib/core/settlement';
import type { Consumer } from '../../lib/core/transport';
import { RecordingLogger } from '../support/recording-logger';

const delivery = {
  subject: 'shop.order.placed',
  name: 'order.placed',
  headers: {},
  body: new Uint8Array(),
  attempt: 1,
  storedAt: 0,
  fallbackId: 'shop-1',
};
const logger = new RecordingLogger();

const consumer = (run: () => unknown, more: { timeout?: number; observed?: boolean } = {}): Consumer => {
  const { timeout = 60_000, observed = false } = more;
  return createConsumer({
    name: 'Mail.send',
    retry: { attempts: 0, delay: 1, backoff: 'fixed', maxDelay: 1, jitter: 0 },
    timeout,
    run,
    ...(observed && { around: (attempt) => (event) => attempt(event) }),
    deadlines: new Deadlines(timeout),
    counters: { running: 0, succeeded: 0, retried: 0, deadLettered: 0 },
    logger,
  });
};
/** A mock, say, that refuses whatever it was not told of. */
const unreadable = (): object =>
  new Proxy(
    {},
    {
      get: () => {
        throw new Error('unreadable');
      },
    },
  );
const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
class UnaskedPromise extends Promise<void> {
  override then(): never {
    throw new Error('unasked');
  }
}
const outcome = async (consume: Consumer): Promise<string> => {
  const settlement = await consume(delivery);
  return settlement.kind === 'dead-letter' ? settlement.failure.message : settlement.kind;
};

describe.each([false, true])('an attempt (observed: %s)', (observed) => {
  it.each<[string, () => unknown, string]>([
    ['that gives back a value', () => 1, 'ack'],
    ['that gives back nothing', () => undefined, 'ack'],
    ['that gives back a promise', async () => 1, 'ack'],
    [
      'that throws',
      () => {
        throw new Error('at once');
      },
      'at once',
    ],
    ['that rejects', () => Promise.reject(new Error('later')), 'later'],
    [
      'that gives back what only looks like a promise',
      () => ({ then: (ok: (value: unknown) => void) => ok(1) }),
      'ack',
    ],
    [
      'whose promise throws when it is asked',
      () => ({
        then: () => {
          throw new Error('asked');
        },
      }),
      'asked',
    ],
    [
      'whose promise ends twice',
      () => ({
        then: (ok: () => void, no: (error: Error) => void) => {
          ok();
          no(new Error('twice'));
        },
      }),
      'ack',
    ],
    ['that gives back what cannot be looked at', () => unreadable(), 'unreadable'],
    ['whose promise gives back what cannot be looked at', async () => ({ n: [unreadable()] }), 'ack'],
    ['that gives back a promise which cannot be asked', () => new UnaskedPromise(() => {}), 'unasked'],
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    ['that throws what cannot be looked at', () => Promise.reject(revoked()), 'a value that cannot be shown'],
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    ['that throws what is no error', () => Promise.reject('text'), 'text'],
  ])('%s is settled by it', async (_title, run, expected) => {
    expect(await outcome(consumer(run, { observed }))).toBe(expected);
  });

  it('that takes too long has failed, and what it gives back then is told and ignored', async () => {
    const alive = setInterval(() => {}, 1000);
    let finish: (() => void) | undefined;
    const run = (): Promise<void> => new Promise((resolve) => (finish = resolve));
    expect(await outcome(consumer(run, { observed, timeout: 5 }))).toBe(
      "handler 'Mail.send' did not finish 'order.placed' within 5 ms",
    );
    clearInterval(alive);
    const before = logger.entries.items.length;
    finish?.();
    await new Promise((resolve) => setImmediate(resolve));
    expect(logger.entries.items.slice(before).map(({ message }) => message)).toEqual([
      "handler 'Mail.send' finished 'order.placed' (id shop-1) after its timeout; ignored",
    ]);
  });
});

describe('a pending settlement', () => {
  const ACK: Settlement = { kind: 'ack' };

  it('is told to all who ask, before and after, and settles once', async () => {
    const pending = new PendingSettlement();
    const told: Settlement[] = [];
    const tell = (settlement: Settlement): number => told.push(settlement);
    pending.whenSettled(tell);
    whenSettled(pending, tell, () => {});
    const awaited = Promise.resolve(pending);
    pending.settle(ACK);
    pending.settle({ kind: 'retry', delay: 1 });
    pending.whenSettled(tell);
    expect(told).toEqual([ACK, ACK, ACK]);
    expect(await awaited).toEqual(ACK);
    expect(await pending.then(({ kind }) => kind)).toBe('ack');
  });

  it('of a consumer of somebody else may be a promise, and may reject', async () => {
    const settled = await new Promise((resolve) => whenSettled(Promise.resolve(ACK), resolve, () => {}));
    expect(settled).toEqual(ACK);
    const failed = await new Promise((resolve) =>
      whenSettled(Promise.reject(new Error('no')), () => {}, resolve),
    );
    expect(failed).toEqual(new Error('no'));
  });
});
