import { measure } from '../harness/rounds.mjs';
import { quantile } from '../harness/statistics.mjs';
import { CONFIRMED_CORE, OUR_CORE, OUR_STREAM, RAW_STREAM, UNCONFIRMED_CORE } from './contenders.mjs';

/** Milliseconds: 200 events a second. */
const INTERVAL = 5;
const WARM_EVENTS = 5_000;

export const LATENCY = {
  core: [UNCONFIRMED_CORE, CONFIRMED_CORE, OUR_CORE],
  jetStream: [RAW_STREAM, OUR_STREAM],
};

/**
 * From `emit` to the handler, at a pace that leaves everybody idle between two events.
 * @returns {Promise<Record<string, { p50: number, p99: number }[]>>} microseconds, by contender and round
 */
export const latency = (contenders, server, { events = 200, ...options }) =>
  measure(contenders, server, {
    ...options,
    first: events,
    warmups: 1,
    // A few hundred events are too few for the compiler; services run for longer.
    warm: (pair) => pair.trial(WARM_EVENTS),
    trial: async (pair, count) => {
      const { latencies } = await pair.paced(count, INTERVAL);
      return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) };
    },
  });
