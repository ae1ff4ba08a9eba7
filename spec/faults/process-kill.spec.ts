import { workers } from '../support/workers';
import type { JournalEntry, WorkerEvent, WorkerOptions } from '../support/worker-process';

const ACK_WAIT = 2000;
/** Milliseconds for a machine that is busy otherwise. */
const MARGIN = 2000;

/** Milliseconds for a test, and for each thing that it waits for: both only on a machine that is busy otherwise. */
const TIMEOUT = 180_000;
const LIMIT = 90_000;

const processes = workers({ ackWait: ACK_WAIT, handlers: [{ name: 'job', on: 'job' }] });
const on = (title: string, run: () => Promise<void>): void => it(title, () => run(), TIMEOUT);
const DURABLE = 'shop__job';

const times = (count: number, event: WorkerEvent = {}): WorkerEvent[] =>
  Array.from({ length: count }, () => event);
const ids = (entries: readonly JournalEntry[]): Set<string> => new Set(entries.map(({ id }) => id ?? ''));
const until = (what: string, check: () => boolean | Promise<boolean>): Promise<void> =>
  processes.journal.until(what, check, LIMIT);
const handled = (events: readonly string[]): boolean => {
  const done = ids(processes.entries('done'));
  return events.every((id) => done.has(id));
};

on(
  'F11 a worker killed with events in flight: loses none: what it ran and what it had buffered is delivered again within the acknowledgement wait',
  async () => {
    const victim = await processes.start({});
    const events = await processes.emit('job', times(150, { wait: [60_000, 0] }));
    await until('100 run, 50 are buffered', async () => {
      const { num_ack_pending } = await processes.consumer(DURABLE);
      return processes.entries('start').length === 100 && num_ack_pending === 150;
    });
    await processes.start({});
    const { at: killed } = await victim.kill();
    await until('all are handled', () => handled(events));
    const latest = Math.max(...processes.entries('done').map(({ at }) => at));
    expect(latest - killed).toBeLessThan(ACK_WAIT + MARGIN);
    await processes.settled(DURABLE);
    expect(processes.entries('done')).toHaveLength(events.length);
    expect(await processes.deadLetters()).toEqual([]);
  },
);

const TWICE = [{ name: 'job', on: 'job', options: { retry: { attempts: 1, delay: 50 } } }];

on(
  'F14 a worker that dies on the last permitted delivery: leaves the event to be handled after all',
  async () => {
    const victim = await processes.start({ handlers: TWICE });
    const events = await processes.emit('job', [{ do: ['fail', 'kill', 'ok'] }]);
    await victim.exited;
    await processes.start({ handlers: TWICE });
    await until('it is handled', () => handled(events));
    await processes.settled(DURABLE);
    expect(await processes.deadLetters()).toEqual([]);
  },
);

on(
  'F14 a worker that dies on the last permitted delivery: leaves the event to become a dead letter when it fails once more',
  async () => {
    const victim = await processes.start({ handlers: TWICE });
    const [id] = await processes.emit('job', [{ do: ['fail', 'kill', 'fail'] }]);
    await victim.exited;
    await processes.start({ handlers: TWICE });
    await until('it fails twice', () => processes.entries('fail').length === 2);
    await processes.settled(DURABLE);
    expect(await processes.deadLetters()).toEqual([
      { id, reason: 'attempts_exhausted', durable: DURABLE, attempts: 3 },
    ]);
  },
);

const worker = { ackWait: 1500 };
/** Starts so many, each with another one in its place whenever it ends, and waits until one of them consumes. */
const keepAlive = async (count: number, options: Partial<WorkerOptions>): Promise<void> => {
  for (let i = 0; i < count; i++) processes.keepAlive(options);
  await until('one is ready', () => processes.entries('ready').length > 0);
};
const noRecords = (): Promise<void> =>
  until('no records are left', async () => (await processes.marks()) === 0);

on(
  'F44 an event that kills its process each time: becomes a dead letter after at most six deaths, while other events flow',
  async () => {
    await keepAlive(2, worker);
    const [killer = ''] = await processes.emit('job', [{ do: ['kill'] }]);
    const healthy: string[] = [];
    let gone = false;
    const letter = until(
      'it is a dead letter',
      async () => (await processes.deadLetters()).length > 0,
    ).finally(() => (gone = true));
    while (!gone) {
      healthy.push(...(await processes.emit('job', times(10, { wait: 5 }))));
      await until('they are handled', () => handled(healthy));
    }
    await letter;
    await processes.settled(DURABLE);

    expect(processes.entries('suicide').length).toBeLessThanOrEqual(6);
    expect(await processes.deadLetters()).toMatchObject([
      { id: killer, reason: 'crash_loop', durable: DURABLE },
    ]);
    await noRecords();
  },
);

on(
  'F44 an event that kills its process each time: does not take those along that run beside it, those that fail included',
  async () => {
    const retry = { attempts: 10, delay: 50, jitter: 0 };
    await keepAlive(1, { ...worker, handlers: [{ name: 'job', on: 'job', options: { retry } }] });
    const innocent = await processes.emit('job', times(5, { wait: 300 }));
    const killers = await processes.emit('job', times(2, { do: ['kill'], wait: 100 }));
    innocent.push(
      ...(await processes.emit('job', times(5, { wait: [300, 300, 20], do: ['fail', 'fail', 'ok'] }))),
    );
    await until('the others are handled', () => handled(innocent));
    await until('they are dead letters', async () => (await processes.deadLetters()).length > 1);
    await processes.settled(DURABLE);
    const letters = await processes.deadLetters();
    expect(letters.map(({ id }) => id).sort()).toEqual([...killers].sort());
    expect(letters.map(({ reason }) => reason)).toEqual(['crash_loop', 'crash_loop']);
    for (const id of killers) {
      expect(processes.entries('start').filter((entry) => entry.id === id).length).toBeLessThanOrEqual(6);
    }
  },
);

on(
  'F44 an event that kills its process each time: is not what an event is that was interrupted by shutdowns',
  async () => {
    const options = { ...worker, module: { shutdownTimeout: 50 } };
    const programs = await processes.startAll(times(7).map(() => options));
    const events = await processes.emit('job', [{ wait: [...times(6).map(() => 60_000), 0] }]);
    for (let i = 1; i <= 6; i++) {
      const starts = (): JournalEntry[] => processes.entries('start');
      await until('it runs', () => starts().length === i);
      await programs.find(({ pid }) => pid === starts()[i - 1]?.pid)?.kill('SIGTERM');
    }
    await until('it is handled', () => handled(events));
    await processes.settled(DURABLE);
    expect(await processes.deadLetters()).toEqual([]);
    await noRecords();
  },
);

on(
  'F44 an event that kills its process each time: is not what an event is that was only handed back, however often',
  async () => {
    await (await processes.start(worker)).kill('SIGTERM');
    const events = await processes.emit('job', times(200, { wait: 5 }));
    await processes.handBack(DURABLE, 24);
    await processes.start(worker);
    await until('all are handled', () => handled(events));
    await processes.settled(DURABLE);
    expect(processes.entries('start')).toHaveLength(events.length);
    expect(await processes.deadLetters()).toEqual([]);
    await noRecords();
  },
);
