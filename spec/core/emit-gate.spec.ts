import { EmitGate } from '../../lib/core/emit-gate';

const OVERLOADED = /too much is on its way/;
const limits = { inFlight: 2, waiting: 2, bytes: 100 };

const state = async (turn: Promise<void> | undefined): Promise<string> =>
  turn === undefined
    ? 'went at once'
    : Promise.race([
        turn.then(() => 'went'),
        new Promise<string>((resolve) => setImmediate(resolve, 'waits')),
      ]);

describe('a gate for emits', () => {
  it('lets as many through as may be in flight, and the others in their order when one is done', async () => {
    const gate = new EmitGate(limits, 60_000);
    expect(gate.enter(1)).toBeUndefined();
    expect(gate.enter(1)).toBeUndefined();
    const third = gate.enter(1);
    const fourth = gate.enter(1);
    expect([await state(third), await state(fourth)]).toEqual(['waits', 'waits']);
    gate.leave(1);
    expect([await state(third), await state(fourth)]).toEqual(['went', 'waits']);
    gate.leave(1);
    expect(await state(fourth)).toBe('went');
    gate.leave(1);
    gate.leave(1);
    expect(gate.enter(1)).toBeUndefined();
  });

  it('refuses what comes when enough wait, and forgets it', async () => {
    const gate = new EmitGate(limits, 60_000);
    void gate.enter(1);
    void gate.enter(1);
    const first = gate.enter(1);
    const second = gate.enter(1);
    expect(() => gate.enter(1)).toThrow(OVERLOADED);
    for (let done = 0; done < 4; done++) gate.leave(1);
    await first;
    await second;
    expect(gate.enter(1)).toBeUndefined();
  });

  it('refuses instead of letting wait, if told so', () => {
    const gate = new EmitGate({ ...limits, waiting: 0 }, 60_000);
    void gate.enter(1);
    void gate.enter(1);
    expect(() => gate.enter(1)).toThrow(/publish|2 events/);
    gate.leave(1);
    expect(gate.enter(1)).toBeUndefined();
  });

  it('counts bytes, whether they wait or not, and lets one event of any size through', () => {
    const gate = new EmitGate(limits, 60_000);
    expect(gate.enter(1000)).toBeUndefined();
    expect(() => gate.enter(1)).toThrow(/100 bytes/);
    gate.leave(1000);
    expect(gate.enter(60)).toBeUndefined();
    expect(() => gate.enter(60)).toThrow(OVERLOADED);
    expect(gate.enter(40)).toBeUndefined();
  });

  it('refuses what has waited too long, and only that', async () => {
    jest.useFakeTimers();
    try {
      const gate = new EmitGate(limits, 1000);
      void gate.enter(1);
      void gate.enter(1);
      const first = (gate.enter(1) as Promise<void>).catch((error: unknown) => error);
      jest.advanceTimersByTime(500);
      const second = gate.enter(1) as Promise<void>;
      jest.advanceTimersByTime(500);
      expect(await first).toMatchObject({ code: 'publish_overloaded' });
      gate.leave(1);
      await second;
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });

  it('keeps turns over thousands of waiters', async () => {
    const gate = new EmitGate({ inFlight: 1, waiting: 5000, bytes: 100_000 }, 60_000);
    void gate.enter(1);
    const order: number[] = [];
    const turns = Array.from({ length: 5000 }, (_, number) =>
      (gate.enter(1) as Promise<void>).then(() => order.push(number)),
    );
    for (let done = 0; done < 5000; done++) gate.leave(1);
    await Promise.all(turns);
    expect(order).toEqual(order.map((_, number) => number));
    expect(order).toHaveLength(5000);
  });
});
