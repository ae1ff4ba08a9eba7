import { Gate } from '../../../lib/testing/conformance/gate';
import { Turns } from '../../../lib/transports/nats/turns';

describe('Turns', () => {
  let turns: Turns;
  let log: string[];
  beforeEach(() => {
    turns = new Turns();
    log = [];
  });
  const task = (name: string, gate?: Gate) => async (): Promise<string> => {
    log.push(`${name} begins`);
    await gate?.opened;
    log.push(`${name} ends`);
    return name;
  };
  const settle = (): Promise<void> => new Promise(setImmediate);

  it('runs tasks together', async () => {
    const gate = new Gate();
    const both = Promise.all([turns.together(task('a', gate)), turns.together(task('b', gate))]);
    await settle();
    expect(log).toEqual(['a begins', 'b begins']);
    gate.open();
    expect(await both).toEqual(['a', 'b']);
  });

  it('runs one alone after those that run, and before those that come later', async () => {
    const [first, alone] = [new Gate(), new Gate()];
    const all = Promise.all([
      turns.together(task('first', first)),
      turns.alone(task('alone', alone)),
      turns.together(task('later')),
    ]);
    await settle();
    expect(log).toEqual(['first begins']);
    first.open();
    await settle();
    expect(log).toEqual(['first begins', 'first ends', 'alone begins']);
    alone.open();
    await all;
    expect(log.slice(3)).toEqual(['alone ends', 'later begins', 'later ends']);
  });

  it('runs several alone one by one, and goes on when one of them fails', async () => {
    const results = await Promise.allSettled([
      turns.alone(task('a')),
      turns.alone(() => Promise.reject(new Error('b failed'))),
      turns.together(task('c')),
      turns.alone(task('d')),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    for (const name of ['a', 'c', 'd']) {
      expect(log.indexOf(`${name} ends`)).toBe(log.indexOf(`${name} begins`) + 1);
    }
  });
});
