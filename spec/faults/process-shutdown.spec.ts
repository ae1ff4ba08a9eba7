import { workers } from '../support/workers';
import { LAYOUTS, type JournalEntry, type WorkerEvent } from '../support/worker-process';

jest.setTimeout(60_000);

/** The package's own wait of 30 s: what comes back sooner was handed back. */
const SOON = 10_000;

const processes = workers();
const times = (count: number, event: WorkerEvent = {}): WorkerEvent[] =>
  Array.from({ length: count }, () => event);
const ids = (entries: readonly JournalEntry[]): Set<string> => new Set(entries.map(({ id }) => id ?? ''));
const handled = (events: readonly string[]): boolean => {
  const done = ids(processes.entries('done'));
  return events.every((id) => done.has(id));
};
const logged = (level: string): (string | undefined)[] =>
  processes
    .entries('log')
    .filter((entry) => entry.level === level)
    .map(({ message }) => message);

describe('F25 shutting down under load', () => {
  const handlers = [{ name: 'job', on: 'job', options: { concurrency: 20 } }];

  it('fails no handler, loses nothing, repeats nothing, and hands back at once what was buffered', async () => {
    const { journal } = processes;
    const first = await processes.start({ handlers });
    const events = await processes.emit('job', times(400, { wait: 400 }));
    await journal.until('it is busy', () => processes.entries('done').length >= 40);
    const second = await processes.start({ handlers });
    const told = Date.now();
    const exit = await first.kill('SIGTERM');
    await journal.until('all are handled', () => handled(events));
    await processes.settled('shop__job');

    expect(exit).toMatchObject({ code: null, signal: 'SIGTERM' });
    expect(processes.entries('fail')).toEqual([]);
    expect(processes.entries('done')).toHaveLength(events.length);
    expect(processes.entries('start')).toHaveLength(events.length);
    // What the first one had begun, it finished.
    const begun = processes.entries('start').filter(({ pid }) => pid === first.pid);
    const ended = processes.entries('done').filter(({ pid }) => pid === first.pid);
    expect(ended).toHaveLength(begun.length);
    expect(Math.max(...begun.map(({ at }) => at))).toBeLessThanOrEqual(told + 100);
    // Some went through two hands, and did not wait for the server to miss them.
    const again = processes.entries('done').filter(({ attempt }) => attempt === 2);
    expect(again.length).toBeGreaterThanOrEqual(20);
    expect(again.every(({ pid }) => pid === second.pid)).toBe(true);
    expect(exit.at - told).toBeLessThan(SOON);
    expect(await processes.deadLetters()).toEqual([]);
    expect([...logged('error'), ...logged('warn')]).toEqual([]);
  });

  it('is bounded: what does not finish within `shutdownTimeout` is handed back, and no failure counts', async () => {
    const { journal } = processes;
    const short = { handlers, module: { shutdownTimeout: 500, retry: { attempts: 0 } } };
    const first = await processes.start(short);
    const events = await processes.emit('job', times(30, { wait: [60_000, 0] }));
    await journal.until('20 run', () => processes.entries('start').length >= 20);
    const second = await processes.start({ ...short, handlers: [{ name: 'job', on: 'job' }] });
    const told = Date.now();
    const exit = await first.kill('SIGTERM');
    expect(exit.at - told).toBeLessThan(SOON);

    const taken = (): JournalEntry[] => processes.entries('start').filter(({ pid }) => pid === second.pid);
    await journal.until('the other instance has them all', () => ids(taken()).size === events.length);
    expect(Math.max(...taken().map(({ at }) => at)) - exit.at).toBeLessThan(SOON);
    await journal.until('all are handled', () => handled(events));
    await processes.settled('shop__job');
    expect(processes.entries('fail')).toEqual([]);
    expect(await processes.deadLetters()).toEqual([]);
  });
});

describe('F26 SIGTERM with Nest’s shutdown hooks', () => {
  it.each(LAYOUTS)('shows no handler a closed database: database %s', async (layout) => {
    const { journal } = processes;
    const options = { layout, handlers: [{ name: 'job', on: 'job', options: { concurrency: 10 } }] };
    const first = await processes.start(options);
    const events = await processes.emit('job', times(60, { wait: 150 }));
    await journal.until('it is busy', () => processes.entries('done').length >= 10);
    const exit = await first.kill('SIGTERM');
    await processes.start({ ...options, handlers: [{ name: 'job', on: 'job' }] });
    await journal.until('all are handled', () => handled(events));
    await processes.settled('shop__job');

    expect(exit).toMatchObject({ code: null, signal: 'SIGTERM' });
    expect(processes.entries('fail')).toEqual([]);
    expect(processes.entries('done')).toHaveLength(events.length);
    // The database did close, and after the last handler.
    const ofFirst = journal.entries.filter(({ pid, what }) => pid === first.pid && what !== 'log');
    expect(ofFirst.at(-1)?.what).toBe('database closed');
    expect(await processes.deadLetters()).toEqual([]);
  });
});
