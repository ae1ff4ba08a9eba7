/** BullMQ on Redis: a queue and a worker that runs 100 jobs at once; done jobs are removed. */
import { Queue, Worker } from 'bullmq';
import { EVENT_NAME, eventOf } from '../../harness/event.mjs';
import { inFlight } from '../../harness/in-flight.mjs';
import { attributesOf, handOverWith } from './attributes.mjs';

const connectionOf = (url) => {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port), maxRetriesPerRequest: null };
};

export async function publisher({ url, name }) {
  const queue = new Queue(name, { connection: connectionOf(url) });
  await queue.waitUntilReady();
  const emit = (index, more) => {
    const headers = attributesOf(EVENT_NAME);
    const job = { headers, event: eventOf(index, more) };
    return queue.add(EVENT_NAME, job, { jobId: headers['ce-id'], removeOnComplete: true });
  };
  return { publish: (count) => inFlight(count, 256, emit), emit, close: () => queue.close() };
}

export async function subscriber({ url, name }, handled) {
  const worker = new Worker(
    name,
    async ({ data: { event, headers } }) => handOverWith(handled, event, headers),
    { connection: connectionOf(url), concurrency: 100 },
  );
  const queue = new Queue(name, { connection: connectionOf(url) });
  await worker.waitUntilReady();
  return {
    async leftovers() {
      const deadline = Date.now() + 10_000;
      for (;;) {
        const counts = await queue.getJobCounts('active', 'waiting', 'delayed', 'failed');
        const left = Object.values(counts).reduce((a, b) => a + b, 0);
        if (left === 0) return undefined;
        if (Date.now() > deadline) return `jobs are left: ${JSON.stringify(counts)}`;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    close: async () => {
      await worker.close();
      await queue.close();
    },
  };
}
