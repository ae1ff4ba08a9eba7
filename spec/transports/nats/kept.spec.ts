import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { onNats } from '../../support/on-nats';

const nats = onNats();

const ROUNDS = 150;
const IN_A_BURST = 250;
/**
 * Bytes, of 0.2 MB that it takes. What a burst brings is read in pieces of up to 64 KB, acknowledgements of up to 22: with one kept for
 * each round it would be 3 MB and more.
 */
const ALLOWED = 1.5 * 1024 * 1024;

function liveHeap(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

describe('what somebody keeps', () => {
  it('of an event or of a receipt does not keep what came with it', async () => {
    // Text of twelve characters and less is always copied.
    const clusterId = 'a-cluster-with-a-long-name';
    const service = await nats.service({ clusterId, appName: 'handling', delivery: 'ephemeral' });
    const storing = await nats.service({ clusterId, appName: 'a-service-with-a-long-name', consume: false });
    const kept: unknown[] = [];
    let handled = 0;
    let ended: (() => void) | undefined;
    const handler = (data: unknown, context: { id: string; [key: string]: unknown }): void => {
      const { id, name, source, correlationId, causationId, time } = context;
      if (handled % IN_A_BURST === 0) kept.push([id, name, source, correlationId, causationId, time, data]);
      if (++handled % IN_A_BURST === 0) ended?.();
    };
    await service.subscribe('a.rather.long.name.of.*', handler as never);

    const round = async (number: number): Promise<void> => {
      const all = new Promise<void>((resolve) => (ended = resolve));
      const receipts = await Promise.all(
        Array.from({ length: IN_A_BURST }, (_, n) =>
          storing.emit(
            // What the last event was called is remembered.
            `a.rather.long.name.of.${number % 2 === 0 ? 'an-event' : 'another-one'}`,
            { text: 'x'.repeat(100), of: `number ${n}` },
            { correlationId: `what-it-all-began-with-${n}`, causationId: `what-it-follows-from-${n}` },
          ),
        ),
      );
      await all;
      kept.push(receipts[IN_A_BURST / 2]);
    };
    for (let n = 0; n < 10; n++) await round(n);
    const before = liveHeap();
    for (let n = 0; n < ROUNDS; n++) await round(n);
    expect(liveHeap() - before).toBeLessThan(ALLOWED);
    expect(kept).toHaveLength(2 * (ROUNDS + 10));
  });
});
