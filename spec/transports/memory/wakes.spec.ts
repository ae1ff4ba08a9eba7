import { ACK, type Settlement } from '../../../lib/core/settlement';
import { Handler, retry, Setup } from './fixture';

const turns = async (n: number): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe('a durable that has nothing to do', () => {
  let setup: Setup;
  beforeEach(() => (setup = new Setup()));
  afterEach(() => setup.end());

  it('goes on when it was full of retries, was paused, and more had been stored', async () => {
    // ManualClock sorts all its tasks for each of them.
    let tasks: (() => void)[] = [];
    const clock = {
      now: () => 0,
      monotonic: () => 0,
      after: (_ms: number, run: () => void) => (tasks.push(run), () => undefined),
    };
    const app = await setup.app({ clock });
    let answer: Settlement = retry(10_000);
    const handler = await Handler.on(app, { concurrency: 10_000 }, () => answer);
    for (let i = 0; i < 50_010; i++) await app.publish(setup.message(''));
    await turns(500);
    expect(handler.deliveries).toHaveLength(50_000);
    handler.subscription.limit(0);
    answer = ACK;
    const due = tasks;
    tasks = [];
    due.forEach((run) => run());
    await turns(20);
    expect(handler.deliveries).toHaveLength(50_000);
    handler.subscription.limit(7);
    await turns(2000);
    expect(handler.deliveries).toHaveLength(100_010);
  }, 60_000);

  it('goes on where its stream dropped the beginning, and with what an application hands back that stops', async () => {
    const [a, b] = [await setup.app({ stream: { maxMessages: 2 } }), await setup.app()];
    const first = await Handler.bound(a, { startFrom: 'first' });
    for (const text of ['1', '2', '3', '4']) await a.publish(setup.message(text));
    first.subscription.start();
    expect(await first.received(2)).toEqual(['3', '4']);
    const held = await Handler.holding(b, {});
    await first.subscription.stop(0);
    await a.publish(setup.message('5'));
    await held.received(1);
    const next = await Handler.on(a, {});
    await turns(2);
    await held.subscription.stop(0);
    expect(await next.received(1)).toEqual(['5']);
    expect(next.attempts).toEqual([2]);
  });
});
