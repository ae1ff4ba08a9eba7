import path from 'node:path';
import { connect } from 'nats';
import { leftovers } from '../contenders/stored-events.mjs';
import { runProgram } from '../harness/program.mjs';

const PROGRAM = path.join(import.meta.dirname, '..', 'programs', 'soak.mjs');
const CLUSTER = 'bench-soak';
/** A memory broker stores 100,000 events, and the lists it keeps them in have their greatest length some time later. */
const FULL = 150_000;

/**
 * What events leave in the process of an application, with retries and request-scoped handlers. Every event is accounted for.
 * @param {{ memory: number, stored: number, steps: number }} options events on `memory://`, and stored on the server
 * @returns {Promise<Record<'memory' | 'server', { retried: number, warm: number,
 *   steps: Record<'events' | 'heap' | 'timers' | 'handles' | 'listeners' | 'kept', number>[] }>>} what was there after each
 *   step; from step `warm` on nothing may grow
 */
export async function soak(server, { memory, stored, steps, say = () => {} }) {
  const results = {
    memory: await run('memory://', memory, steps, FULL, say),
    server: await run(server.url, stored, steps, 0, say),
  };
  const connection = await connect({ servers: server.url });
  try {
    const problem = await leftovers(await connection.jetstreamManager(), CLUSTER);
    if (problem !== undefined) throw new Error(`The soak is void: ${problem}.`);
  } finally {
    await connection.close();
  }
  return results;
}

async function run(url, events, count, full, say) {
  const steps = [];
  const { retried } = await runProgram(
    PROGRAM,
    { url, clusterId: CLUSTER, events, steps: count },
    ({ step }) => {
      if (step === undefined) return;
      const { active, ...more } = step;
      const all = Object.values(active).reduce((sum, each) => sum + each, 0);
      const timers = (active.Timeout ?? 0) + (active.Immediate ?? 0);
      steps.push({ ...more, timers, handles: all - timers });
      say(`soak on ${url}: ${step.events} events, ${(step.heap / 2 ** 20).toFixed(1)} MB`);
    },
  );
  return { retried, steps, warm: steps.findIndex((step) => step.events >= full) };
}
