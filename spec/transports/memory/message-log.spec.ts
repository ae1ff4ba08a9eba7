import { MessageLog } from '../../../lib/transports/memory/message-log';

describe('a message log', () => {
  it('finds messages by sequence while the oldest are dropped', () => {
    const log = new MessageLog({ maxAge: 1000, maxMessages: 1500, maxBytes: Infinity });
    expect([log.first, log.last]).toEqual([1, 0]);
    for (let sequence = 1; sequence <= 5000; sequence++) {
      const dropped = log.append({ sequence, storedAt: 0, bytes: 1 });
      expect(dropped.map((entry) => entry.sequence)).toEqual(sequence > 1500 ? [sequence - 1500] : []);
    }
    expect([log.first, log.last]).toEqual([3501, 5000]);
    expect([0, 3500, 3501, 5000, 5001].map((sequence) => log.get(sequence)?.sequence)).toEqual([
      undefined,
      undefined,
      3501,
      5000,
      undefined,
    ]);
    expect(log.toArray().map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 1500 }, (_, i) => 3501 + i),
    );
  });

  it('keeps the newest, however large', () => {
    const log = new MessageLog({ maxAge: 1000, maxMessages: 10, maxBytes: 10 });
    log.append({ sequence: 1, storedAt: 0, bytes: 5 });
    log.append({ sequence: 2, storedAt: 0, bytes: 50 });
    expect(log.toArray().map(({ sequence }) => sequence)).toEqual([2]);
  });

  it('forgets what is removed, from wherever, and never uses its sequence again', () => {
    const log = new MessageLog({ maxAge: 1000, maxMessages: 3, maxBytes: 30 });
    const append = (sequence: number): number[] =>
      log.append({ sequence, storedAt: 0, bytes: 10 }).map((entry) => entry.sequence);
    const kept = (): number[] => log.toArray().map(({ sequence }) => sequence);
    for (const sequence of [1, 2, 3]) append(sequence);
    expect(log.remove(2)?.sequence).toBe(2);
    expect(log.remove(2)).toBeUndefined();
    expect(log.remove(4)).toBeUndefined();
    expect(log.get(2)).toBeUndefined();
    expect([log.first, log.last]).toEqual([1, 3]);
    expect(append(4)).toEqual([]);
    expect(kept()).toEqual([1, 3, 4]);
    expect(append(5)).toEqual([1]);
    expect(log.first).toBe(3);
    for (const sequence of [5, 3, 4]) log.remove(sequence);
    expect([log.first, log.last, kept()]).toEqual([6, 5, []]);
    append(6);
    expect(kept()).toEqual([6]);
  });
});
