import { JoinedSubscription } from '../../lib/core/joined-subscription';
import type { TransportSubscription } from '../../lib/core/transport';

let calls: string[];
beforeEach(() => (calls = []));

const fake = (name: string, stop = (): Promise<void> => Promise.resolve()): TransportSubscription => ({
  start: () => void calls.push(`start ${name}`),
  limit: (concurrency) => void calls.push(`limit ${name} ${concurrency}`),
  stop: (timeout) => {
    calls.push(`stop ${name} ${timeout}`);
    return stop();
  },
});

describe('subscriptions joined to one', () => {
  it('are started, limited and stopped together', async () => {
    const joined = new JoinedSubscription([fake('a'), fake('b')]);
    joined.start();
    joined.limit(0);
    await joined.stop(500);
    expect(calls).toEqual(['start a', 'start b', 'limit a 0', 'limit b 0', 'stop a 500', 'stop b 500']);
  });

  it('are all stopped, though one of them throws and one rejects, and each reason is told when all have ended', async () => {
    const ended: string[] = [];
    const joined = new JoinedSubscription([
      fake('rejecting', () => Promise.reject(new Error('rejected'))),
      fake('throwing', () => {
        throw new Error('thrown');
      }),
      fake('slow', async () => {
        await new Promise((resolve) => setImmediate(resolve));
        ended.push('slow');
      }),
    ]);
    await expect(joined.stop(1)).rejects.toThrow('Error: rejected; Error: thrown');
    expect(calls).toHaveLength(3);
    expect(ended).toEqual(['slow']);
  });
});
