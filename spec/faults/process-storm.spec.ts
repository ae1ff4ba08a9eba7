import { setTimeout as sleep } from 'node:timers/promises';
import { workers } from '../support/workers';
import type { WorkerEvent } from '../support/worker-process';

jest.setTimeout(90_000);

const BACKOFF = 30_000;
/** Events a second, of which every tenth fails, and for how long they come. */
const RATE = 500;
const SECONDS = 4;
const FAILING = { do: ['fail', 'ok'] } satisfies WorkerEvent;
/** So many wait for their next attempt when that has gone on for a while. */
const WAITING = (RATE / 10) * (BACKOFF / 1000);

const processes = workers();

describe('a storm of retries that wait 30 s', () => {
  it.each([
    { concurrency: 100, instances: 1 },
    { concurrency: 100, instances: 2 },
    { concurrency: 1, instances: 1 },
    { concurrency: 1, instances: 2 },
  ])('holds up no healthy event: concurrency $concurrency, $instances instance(s)', async (shape) => {
    const { journal } = processes;
    const retry = { attempts: 10, delay: BACKOFF, backoff: 'fixed', jitter: 0 } as const;
    const options = { concurrency: shape.concurrency, retry };
    const handlers = [{ name: 'job', on: 'job', options }];
    await processes.startAll(Array.from({ length: shape.instances }, () => ({ handlers })));
    const failing = new Set(
      await processes.emit(
        'job',
        Array.from({ length: WAITING }, () => FAILING),
      ),
    );
    await journal.until(
      'they wait for their next attempt',
      () => processes.entries('fail').length >= WAITING,
    );

    const emittedAt = new Map<string, number>();
    const emissions: Promise<void>[] = [];
    const begun = Date.now();
    for (let i = 0; i < (RATE / 10) * SECONDS; i++) {
      const at = begun + (i * 10_000) / RATE;
      await sleep(Math.max(0, at - Date.now()));
      const batch = Array.from({ length: 10 }, (_, k): WorkerEvent => (k === i % 10 ? FAILING : {}));
      const now = Date.now();
      emissions.push(
        processes.emit('job', batch).then((ids) => {
          ids.forEach((id, k) => (k === i % 10 ? failing.add(id) : emittedAt.set(id, now)));
        }),
      );
    }
    await Promise.all(emissions);
    await journal.until(
      'all healthy ones are handled',
      () => processes.entries('done').length >= emittedAt.size,
    );
    await journal.until('the others failed once', () => processes.entries('fail').length >= failing.size);

    const delays = processes
      .entries('done')
      .map(({ id = '', at }) => at - (emittedAt.get(id) ?? NaN))
      .sort((a, b) => a - b);
    expect(delays).toHaveLength(emittedAt.size);
    expect(delays.at(-1)).toBeLessThan(BACKOFF / 3);
    // Those that failed have not been tried again: none of the above came after the storm.
    expect(processes.entries('start').filter(({ attempt }) => attempt !== 1)).toEqual([]);
    expect((await processes.consumer('shop__job')).num_ack_pending).toBe(failing.size);
    expect(await processes.deadLetters()).toEqual([]);
  });
});
