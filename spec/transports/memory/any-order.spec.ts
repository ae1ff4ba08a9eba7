import { ACK, type Settlement } from '../../../lib/core/settlement';
import type { SubscriptionSpec, TransportSubscription } from '../../../lib/core/transport';
import type { MemoryTransport } from '../../../lib/transports/memory';
import { DEAD, DURABLE, retry, Setup } from './fixture';

const turns = async (n: number): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** Rounds that differ by their seed alone: what fails once fails again. */
const ROUNDS = 150;

describe('a broker to which everything was done, in any order', () => {
  it('leaves nothing undelivered while somebody is free to take it', async () => {
    for (let seed = 1; seed <= ROUNDS; seed++) await round(seed);
  });
});

async function round(seed: number): Promise<void> {
  let state = seed * 2654435761;
  const random = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const setup = new Setup();
  const small = random(3) === 0;
  const options = small ? { stream: { maxMessages: 5 } } : {};
  const apps: MemoryTransport[] = [await setup.app(options), await setup.app(options)];
  const live: TransportSubscription[] = [];
  const held: ((s: Settlement) => void)[] = [];
  let healed = false;
  const log: string[] = [];
  const names = ['a', 'b', 'c'];
  const answer = async (): Promise<Settlement> => {
    if (healed) return ACK;
    switch (random(7)) {
      case 0:
        return retry(random(3) * 10);
      case 1:
        return DEAD;
      case 2:
      case 3:
        return new Promise((resolve) => held.push(resolve));
      case 4:
        throw new Error('broken');
      default:
        return ACK;
    }
  };
  for (let step = 0; step < 60; step++) {
    const app = apps[random(2)] as MemoryTransport;
    const op = random(12);
    log.push(String(op));
    switch (op) {
      case 0:
      case 1:
      case 2: {
        const many = random(20) === 0 ? 400 : 1 + random(4);
        for (let i = 0; i < many; i++)
          void app.publish(
            setup.message('x', {
              name: names[random(3)] as string,
              ...(random(9) === 0 ? { messageId: 'same' } : {}),
            }),
          );
        break;
      }
      case 3:
      case 4: {
        const delivery = random(3) === 0 ? 'ephemeral' : 'durable';
        const spec: SubscriptionSpec = {
          ...DURABLE,
          durable: `mail__${delivery}-${random(2)}`,
          patterns: [['a'], ['b', 'c'], ['>'], ['a', 'b', 'c']][random(4)] as string[],
          delivery,
          broadcast: random(5) === 0,
          startFrom: (['new', 'first', new Date(setup.clock.now() - random(50))] as const)[
            random(3)
          ] as 'new',
          concurrency: 1 + random(3),
        };
        const made = app.subscribe(spec, answer);
        live.push(made);
        if (random(3) > 0) made.start();
        break;
      }
      case 5:
        live[random(live.length || 1)]?.start();
        break;
      case 6:
        live[random(live.length || 1)]?.limit(random(3));
        break;
      case 7:
        if (live.length > 0) void live.splice(random(live.length), 1)[0]?.stop(random(2) * 20);
        break;
      case 8:
        setup.clock.advance(random(40));
        break;
      case 9:
        for (let i = random(4); i > 0; i--) held.shift()?.([ACK, retry(5), DEAD][random(3)] as Settlement);
        break;
      case 10: {
        const store = app.deadLetters;
        const letter = (await store?.scan({ limit: 50 }))?.[random(5)];
        // There may be no handler for it.
        if (letter !== undefined) await store?.redrive(letter, 1 + random(2)).catch(() => undefined);
        break;
      }
      default:
        await turns(1 + random(3));
    }
  }
  healed = true;
  for (const sub of live) {
    sub.start();
    sub.limit(Infinity);
  }
  for (let i = 0; i < 30; i++) {
    while (held.length > 0) held.shift()?.(ACK);
    setup.clock.advance(2000);
    await turns(2);
  }
  await turns(20);
  const busy = apps[0]!.broker.busy();
  if (busy.length > 0)
    throw new Error(`seed ${seed} [${log.join(' ')}]: still busy: ${JSON.stringify(busy)}`);
  await setup.end();
}
