import { Pair } from '../harness/pair.mjs';
import { OUR_CORE } from './contenders.mjs';

/**
 * What events leave behind.
 * @returns {Promise<{ publisher: number, subscriber: number }[]>} bytes of live heap of both processes after each step
 */
export async function heap(server, { events, steps, say = () => {} }) {
  const pair = await Pair.open(OUR_CORE, server);
  try {
    const results = [];
    for (let step = 0; step < steps; step++) {
      await pair.trial(events / steps);
      results.push(await pair.heap());
      say(`heap after ${((step + 1) * events) / steps} events`);
    }
    return results;
  } finally {
    await pair.close();
  }
}
