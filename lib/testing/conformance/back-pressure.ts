import assert from 'node:assert/strict';
import type { Chapter } from './chapter';
import { Collector } from './collector';
import type { ServiceInstance } from './harness';
import { hasCode } from './has-code';
import { range } from './numbers';
import { roundTrip } from './round-trip';

const BACKLOG = 5_000;
const BATCH = 500;
const CONCURRENCY = 5;
/** Events that may wait in the process beside those that run. */
const BUFFERED = { durable: 500, ephemeral: 1_000 } as const;

interface Job {
  readonly number: number;
  readonly padding: string;
}
/** So that a backlog that is held is ten megabytes. */
const PADDING = 'x'.repeat(2_000);
const jobOf = (number: number): Job => ({ number, padding: PADDING });

/** What does not grow in the process, however slow a handler is and however fast others emit. */
export const backPressure: Chapter = (test, { durable }) => {
  if (durable) {
    test('a slow handler holds 500 events at most beside those that run; the rest of its backlog goes to others', async (harness) => {
      const gate = harness.gate();
      const running = new Collector<number>('jobs that run in the slow instance');
      const done = jobs();
      const slow = await harness.service('worker');
      await work(slow, async ({ number }) => {
        running.add(number);
        await gate.opened;
        done.add(number);
      });
      await emitJobs(slow);
      await running.atLeast(CONCURRENCY);

      const other = await harness.service('worker');
      await work(other, ({ number }) => done.add(number));
      await done.atLeast(BACKLOG - CONCURRENCY - BUFFERED.durable);
      assert.equal(running.items.length, CONCURRENCY);

      gate.open();
      assert.deepEqual(sorted(await done.atLeast(BACKLOG)), range(BACKLOG));
    });
  } else {
    test('a slow handler holds 1,000 events at most beside those that run; what it drops is told, the rest handled', async (harness) => {
      const gate = harness.gate();
      const running = new Collector<number>('jobs that run');
      const done = jobs();
      const service = await harness.service('worker');
      await work(service, async ({ number }) => {
        running.add(number);
        await gate.opened;
        done.add(number);
      });
      const witness = jobs();
      await service.on('job.created', (job) => witness.add((job as Job).number), { name: 'witness' });
      await emitJobs(service);
      await witness.atLeast(BACKLOG);
      await roundTrip(service);
      assert.equal(running.items.length, CONCURRENCY);
      const told = service.events.status.problems.join().match(/\d+/g)?.map(Number) ?? [];
      const least = BACKLOG - CONCURRENCY - BUFFERED.ephemeral;
      const dropped = told.find((count) => count >= least && count < BACKLOG);
      assert.ok(dropped !== undefined, `no drops, or too few, in ${service.events.status.problems.join()}`);

      gate.open();
      const kept = BACKLOG - dropped;
      await done.atLeast(kept);
      await service.emit('job.created', jobOf(BACKLOG));
      const handled = await done.until((numbers) => numbers.includes(BACKLOG), 'the event after the flood');
      assert.equal(new Set(handled).size, kept + 1);
      assert.equal(handled.length, kept + 1);
    });
  }

  for (const waiting of [0, 300]) {
    const title =
      waiting === 0 ? 'is refused what is above its limit' : 'waits, and is refused what is above its limits';
    test(`a flood of emits that nobody awaits ${title}; all that was not refused arrives`, async (harness) => {
      const inFlight = 100;
      const service = await harness.service('worker', {
        pendingEmits: { inFlight, waiting, bytes: Infinity },
      });
      const arrived = await service.collect('job.created');
      const flood = range(5_000).map((number) => service.emit('job.created', number));
      const outcomes = await Promise.allSettled(flood);

      const accepted = range(5_000).filter((number) => outcomes[number]?.status === 'fulfilled');
      assert.deepEqual(accepted, range(inFlight + waiting));
      for (const outcome of outcomes.slice(accepted.length)) {
        assert.ok(outcome.status === 'rejected');
        assert.ok(hasCode('publish_overloaded')(outcome.reason));
      }
      await arrived.atLeast(accepted.length);
      await service.emit('job.created', -1);
      const numbers = (await arrived.atLeast(accepted.length + 1)).map(({ data }) => data as number);
      assert.deepEqual(sorted(numbers), range(accepted.length + 1, -1));
    });
  }
};

const jobs = (): Collector<number> => new Collector<number>('jobs that are done');

const work = (service: ServiceInstance, handle: (job: Job) => unknown): Promise<unknown> =>
  service.on('job.created', (job) => handle(job as Job), { name: 'Jobs.work', concurrency: CONCURRENCY });

async function emitJobs(service: ServiceInstance): Promise<void> {
  for (let at = 0; at < BACKLOG; at += BATCH) {
    await Promise.all(range(BATCH, at).map((number) => service.emit('job.created', jobOf(number))));
  }
}

const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);
