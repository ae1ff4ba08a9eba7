import { workers } from '../support/workers';
import type { JournalEntry, WorkerEvent } from '../support/worker-process';

jest.setTimeout(120_000);

/** The server would wait 30 s for what nobody hands back. */
const SOON = 10_000;

const processes = workers();
const times = (count: number, event: WorkerEvent = {}): WorkerEvent[] =>
  Array.from({ length: count }, () => event);
const ids = (entries: readonly JournalEntry[]): Set<string> => new Set(entries.map(({ id }) => id ?? ''));
const handled = (events: readonly string[]): boolean => {
  const done = ids(processes.entries('done'));
  return events.every((id) => done.has(id));
};

describe('a rolling restart of 20 processes over a backlog', () => {
  const options = {
    handlers: [{ name: 'job', on: 'job', options: { concurrency: 5, retry: { attempts: 0 } } }],
  };

  it('dead-letters nothing that did not fail, and no event waits for the acknowledgement wait', async () => {
    const { journal } = processes;
    const old = await processes.startAll(Array.from({ length: 20 }, () => options));
    const events = await processes.emit('job', times(1000, { wait: 400 }));
    for (let i = 0; i < old.length; i += 5) {
      const group = old.slice(i, i + 5);
      await Promise.all(
        group.map(async (worker) => {
          const told = Date.now();
          const { at, signal } = await worker.kill('SIGTERM');
          expect(signal).toBe('SIGTERM');
          expect(at - told).toBeLessThan(SOON);
        }),
      );
      await processes.startAll(group.map(() => options));
      // The backlog lasts as long as the restart.
      const { num_pending } = await processes.consumer('shop__job');
      if (num_pending < 500) events.push(...(await processes.emit('job', times(500, { wait: 400 }))));
    }
    await journal.until('all are handled', () => handled(events), 60_000);
    await processes.settled('shop__job');

    const attempts = processes.entries('done').map(({ attempt = 0 }) => attempt);
    // The restart did hand events back.
    expect(Math.max(...attempts)).toBeGreaterThan(1);
    expect(processes.entries('fail')).toEqual([]);
    expect(processes.entries('done')).toHaveLength(events.length);
    expect(await processes.deadLetters()).toEqual([]);
    // Handed back at once: nobody was without work for long while there was some.
    const starts = processes.entries('start').map(({ at }) => at);
    const gap = Math.max(...starts.slice(1).map((at, i) => at - (starts[i] ?? at)));
    expect(gap).toBeLessThan(SOON);
    expect(await processes.marks()).toBe(0);
  });
});

describe('two versions of a service side by side', () => {
  it('both run: concurrency, retry and further events may differ', async () => {
    const { journal } = processes;
    const one = {
      handlers: [
        { name: 'job', on: ['job.a'], options: { concurrency: 2, retry: { attempts: 3, delay: 20 } } },
        { name: 'report', on: 'report' },
      ],
    };
    const two = {
      handlers: [
        { name: 'job', on: ['job.a', 'job.b'], options: { concurrency: 50, retry: { attempts: 0 } } },
        { name: 'audit', on: 'job.*' },
      ],
    };
    const first = await processes.start(one);
    const second = await processes.start(two);
    const events = await processes.emit('job.a', times(100, { wait: 20 }));
    await journal.until('job.a is handled by both', () => {
      const pids = new Set(processes.entries('done').map(({ pid, handler }) => `${pid} ${handler}`));
      return [`${first.pid} job`, `${second.pid} job`, `${second.pid} audit`].every((key) => pids.has(key));
    });
    const reports = await processes.emit('report', times(5));
    await journal.until('all are handled', () => handled([...events, ...reports]));
    await processes.settled('shop__job');
    expect(processes.entries('fail')).toEqual([]);
    expect(await processes.deadLetters()).toEqual([]);
  });

  it('an older version that starts again takes nothing away from the newer one', async () => {
    const { journal } = processes;
    const one = { handlers: [{ name: 'job', on: ['job.a'] }] };
    const two = { handlers: [{ name: 'job', on: ['job.a', 'job.b'] }] };
    const newer = await processes.start(two);
    const older = await processes.start(one);
    const events: string[] = [];
    for (let i = 0; i < 10; i++) {
      events.push(...(await processes.emit('job.b', times(5, { wait: 20 }))));
      events.push(...(await processes.emit('job.a', times(5, { wait: 20 }))));
    }
    await journal.until('job.a is handled', () => processes.entries('done').length >= 50);
    await older.kill('SIGTERM');
    await processes.start(two);
    await journal.until('all are handled', () => handled(events), 5000);
    expect(
      processes.entries('start').filter(({ pid, name }) => pid === older.pid && name === 'job.b'),
    ).toEqual([]);
    expect(newer.running).toBe(true);
  });
});

describe('a handler that was renamed', () => {
  it('leaves a durable that is named in the log of the next start, with its backlog', async () => {
    const { journal } = processes;
    await (await processes.start({ handlers: [{ name: 'Mails.send', on: 'job' }] })).kill('SIGTERM');
    await processes.emit('job', times(7));
    const warnings = (): string[] =>
      processes
        .entries('log')
        .filter(({ level }) => level === 'warn')
        .map(({ message = '' }) => message);
    expect(warnings()).toEqual([]);
    await processes.start({ handlers: [{ name: 'Letters.send', on: 'job' }] });
    await journal.until('the orphan is reported', () => warnings().length > 0);
    expect(warnings()).toEqual([
      expect.stringMatching(
        /'shop__Mails-send'.*'Mails\.send'.*\b7 events.*nats consumer rm .*shop__Mails-send/,
      ),
    ]);
    // Its events are not lost: with its name back, they come.
    const again = await processes.start({ handlers: [{ name: 'Mails.send', on: 'job' }] });
    await journal.until('they come', () => processes.entries('done').length === 7);
    expect(processes.entries('done').every(({ pid }) => pid === again.pid)).toBe(true);
  });
});
