import { HandOns } from '../../../lib/transports/nats/hand-ons';

const MINUTE = 60_000;

/** One instance, on a clock of the test. */
class Instance {
  now = 0;
  readonly handOns = new HandOns(() => this.now);

  next(sequence = 7, timestamp = '1'): number | undefined {
    return this.handOns.next({ sequence, timestamp });
  }
}

describe('an event whose name this instance does not handle', () => {
  it('F80 is handed on after delays that differ, all below half a second at first', () => {
    const instance = new Instance();
    const delays = Array.from({ length: 20 }, () => instance.next() ?? 0);
    expect(new Set(delays).size).toBe(20);
    expect(Math.max(...delays)).toBeLessThan(500);
    expect(Math.min(...delays)).toBeGreaterThan(100);
  });

  it('waits the longer the more of them there are', () => {
    const instance = new Instance();
    let last: number | undefined;
    for (let sequence = 1; sequence <= 20_000; sequence++) last = instance.next(sequence);
    expect(last).toBeGreaterThanOrEqual(10_000);
  });

  it('F75 is not given up by its deliveries, only after ten minutes and thirty hand-ons here', () => {
    const instance = new Instance();
    for (let count = 0; count < 500; count++) expect(instance.next()).toEqual(expect.any(Number));
    instance.now = 10 * MINUTE - 1;
    expect(instance.next()).toEqual(expect.any(Number));
    instance.now = 10 * MINUTE;
    expect(instance.next()).toBeUndefined();
    expect(instance.next()).toEqual(expect.any(Number));

    const rare = new Instance();
    for (let count = 0; count < 30; count++) {
      expect(rare.next()).toEqual(expect.any(Number));
      rare.now += MINUTE;
    }
    expect(rare.next()).toBeUndefined();
  });

  it('F75 is given up within twelve minutes where no instance has the name', () => {
    const instance = new Instance();
    for (let delay = instance.next(); delay !== undefined; delay = instance.next()) instance.now += delay;
    expect(instance.now).toBeLessThan(12 * MINUTE);
    expect(instance.now).toBeGreaterThanOrEqual(10 * MINUTE);
  });

  it('counts anew for another event of the same sequence, and for what was settled', () => {
    const instance = new Instance();
    for (let count = 0; count < 40; count++) instance.next();
    instance.now = 11 * MINUTE;
    expect(instance.next(7, '2')).toEqual(expect.any(Number));
    for (let count = 0; count < 40; count++) instance.next(7, '2');
    instance.now = 22 * MINUTE;
    instance.handOns.settledTo(7);
    expect(instance.next(7, '2')).toEqual(expect.any(Number));
  });
});
