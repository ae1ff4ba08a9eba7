import { workers } from '../support/workers';
import type { JournalEntry, WorkerEvent } from '../support/worker-process';

jest.setTimeout(90_000);

const ACK_WAIT = 2000;
/** Milliseconds for a machine that is busy otherwise. */
const MARGIN = 2000;

const processes = workers({ ackWait: ACK_WAIT, handlers: [{ name: 'job', on: 'job' }] });
const DURABLE = 'shop__job';

const times = (count: number, event: WorkerEvent = {}): WorkerEvent[] =>
  Array.from({ length: count }, () => event);
const ids = (entries: readonly JournalEntry[]): Set<string> => new Set(entries.map(({ id }) => id ?? ''));
const handled = (events: readonly string[]): boolean => {
  const done = ids(processes.entries('done'));
  return events.every((id) => done.has(id));
};

describe('F11 a worker killed with events in flight', () => {
  it('loses none: what it ran and what it had buffered is delivered again within the acknowledgement wait', async () => {
    const { journal } = processes;
    const victim = await processes.start({});
    const events = await processes.emit('job', times(150, { wait: [60_000, 0] }));
    await journal.until('100 run, 50 are buffered', async () => {
      const { num_ack_pending } = await processes.consumer(DURABLE);
      return processes.entries('start').length === 100 && num_ack_pending === 150;
    });
    await processes.start({});
    const { at: killed } = await victim.kill();
    await journal.until('all are handled', () => handled(events));
    const latest = Math.max(...processes.entries('done').map(({ at }) => at));
    expect(latest - killed).toBeLessThan(ACK_WAIT + MARGIN);
    await processes.settled(DURABLE);
    expect(processes.entries('done')).toHaveLength(events.length);
    expect(await processes.deadLetters()).toEqual([]);
  });
});

describe('F14 a worker that dies on the last permitted delivery', () => {
  const retry = { attempts: 1, delay: 50 };
  const handlers = [{ name: 'job', on: 'job', options: { retry } }];

  it('leaves the event to be handled after all', async () => {
    const victim = await processes.start({ handlers });
    const events = await processes.emit('job', [{ do: ['fail', 'kill', 'ok'] }]);
    await victim.exited;
    await processes.start({ handlers });
    await processes.journal.until('it is handled', () => handled(events));
    await processes.settled(DURABLE);
    expect(await processes.deadLetters()).toEqual([]);
  });

  it('leaves the event to become a dead letter when it fails once more', async () => {
    const victim = await processes.start({ handlers });
    const [id] = await processes.emit('job', [{ do: ['fail', 'kill', 'fail'] }]);
    await victim.exited;
    await processes.start({ handlers });
    await processes.journal.until('it fails twice', () => processes.entries('fail').length === 2);
    await processes.settled(DURABLE);
    expect(await processes.deadLetters()).toEqual([
      { id, reason: 'attempts_exhausted', durable: DURABLE, attempts: 3 },
    ]);
  });
});

describe('F44 an event that kills its process each time', () => {
  const handlers = [{ name: 'job', on: 'job' }];
  const worker = { handlers, ackWait: 1500 };
  const createDurable = async (): Promise<void> => {
    await (await processes.start(worker)).kill('SIGTERM');
  };
  const noMarks = (): Promise<void> =>
    processes.journal.until('no records are left', async () => (await processes.marks()) === 0);

  it('becomes a dead letter after at most six deaths, while other events flow', async () => {
    const { journal } = processes;
    await createDurable();
    const [killer = ''] = await processes.emit('job', [{ do: ['kill'] }]);
    processes.keepAlive(worker);
    processes.keepAlive(worker);
    const healthy: string[] = [];
    let gone = false;
    const letter = journal
      .until('it is a dead letter', async () => (await processes.deadLetters()).length > 0, 60_000)
      .finally(() => (gone = true));
    while (!gone) {
      healthy.push(...(await processes.emit('job', times(10, { wait: 5 }))));
      await journal.until('they are handled', () => handled(healthy));
    }
    await letter;
    await processes.settled(DURABLE);

    expect(processes.entries('suicide').length).toBeLessThanOrEqual(6);
    expect(await processes.deadLetters()).toMatchObject([
      { id: killer, reason: 'crash_loop', durable: DURABLE },
    ]);
    await noMarks();
  });

  it('does not take those along that run beside it, those that fail included', async () => {
    const { journal } = processes;
    await createDurable();
    const innocent = await processes.emit('job', times(5, { wait: 300 }));
    const killers = await processes.emit('job', times(2, { do: ['kill'], wait: 100 }));
    innocent.push(
      ...(await processes.emit('job', times(5, { wait: [300, 300, 20], do: ['fail', 'fail', 'ok'] }))),
    );
    const retry = { attempts: 10, delay: 50, jitter: 0 };
    processes.keepAlive({ ...worker, handlers: [{ name: 'job', on: 'job', options: { retry } }] });
    await journal.until('the others are handled', () => handled(innocent), 60_000);
    await journal.until(
      'they are dead letters',
      async () => (await processes.deadLetters()).length > 1,
      60_000,
    );
    await processes.settled(DURABLE);
    const letters = await processes.deadLetters();
    expect(letters.map(({ id }) => id).sort()).toEqual([...killers].sort());
    expect(letters.map(({ reason }) => reason)).toEqual(['crash_loop', 'crash_loop']);
    for (const id of killers) {
      expect(processes.entries('start').filter((entry) => entry.id === id).length).toBeLessThanOrEqual(6);
    }
  });

  it('is not what an event is that was interrupted by shutdowns', async () => {
    const { journal } = processes;
    await createDurable();
    const events = await processes.emit('job', [{ wait: [...times(6).map(() => 60_000), 0] }]);
    for (let i = 1; i <= 6; i++) {
      const interrupted = await processes.start({ ...worker, module: { shutdownTimeout: 50 } });
      await journal.until('it runs', () => processes.entries('start').length === i);
      await interrupted.kill('SIGTERM');
    }
    await processes.start(worker);
    await journal.until('it is handled', () => handled(events));
    await processes.settled(DURABLE);
    expect(await processes.deadLetters()).toEqual([]);
    await noMarks();
  });

  it('is not what an event is that was only handed back, however often', async () => {
    await createDurable();
    const events = await processes.emit('job', times(200, { wait: 5 }));
    await processes.handBack(DURABLE, 24);
    await processes.start(worker);
    await processes.journal.until('all are handled', () => handled(events));
    await processes.settled(DURABLE);
    expect(processes.entries('start')).toHaveLength(events.length);
    expect(await processes.deadLetters()).toEqual([]);
    await noMarks();
  });
});
