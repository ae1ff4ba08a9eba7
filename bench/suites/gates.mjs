import { median, ratios, spread } from '../harness/statistics.mjs';

const MEGABYTE = 2 ** 20;

/**
 * The limits: `least` or `most`. A gate fails only when even the favourable quartile misses, so that noise alone does
 * not fail it.
 */
export const GATES = [
  {
    name: 'core NATS, end to end, by nats.js with 5 headers',
    least: 0.95,
    needs: 'core',
    of: ({ core }) => rate(core),
  },
  {
    name: 'JetStream, end to end, by `js.publish` with `noAsyncTraces`',
    least: 1.2,
    needs: 'jetStream',
    of: ({ jetStream }) => rate(jetStream),
  },
  {
    name: "JetStream, publisher's processor time, by the same",
    most: 0.6,
    needs: 'jetStream',
    of: ({ jetStream }) => ratioOf(jetStream, ({ publisher }) => publisher),
  },
  {
    name: 'draining a backlog, by a callback of 500',
    least: 0.95,
    needs: 'drain',
    of: ({ drain }) => rate(drain),
  },
  {
    name: 'latency at 200 events/s, core NATS, median, by nats.js that confirms',
    most: 1.25,
    needs: 'latency',
    of: ({ latency }) => ratioOf(latency.core, ({ p50 }) => p50),
  },
  {
    name: 'latency at 200 events/s, JetStream, median, by nats.js',
    most: 1.25,
    needs: 'latency',
    of: ({ latency }) => ratioOf(latency.jetStream, ({ p50 }) => p50),
  },
  { name: 'one interceptor', unit: 'µs', most: 5, needs: 'micro', of: ({ micro }) => micro.interceptor },
  {
    name: '1,000 handlers, restart: binding to their durables',
    unit: 'ms',
    most: 1_000,
    needs: 'restart',
    of: ({ restart }) => spread(restart.bind),
  },
  {
    name: '1,000 handlers, added start-up without network',
    unit: 'ms',
    most: 60,
    needs: 'startUp',
    of: ({ startUp }) => added(startUp, ({ start }) => start),
  },
  {
    name: '1,000 handlers, added memory (RSS)',
    unit: 'MB',
    most: 12,
    needs: 'startUp',
    of: ({ startUp }) => added(startUp, ({ rss }) => rss / MEGABYTE),
  },
  {
    name: 'heap that events leave behind, both processes',
    unit: 'MB',
    most: 1,
    needs: 'heap',
    of: ({ heap }) => spread([grown(heap, 'publisher') + grown(heap, 'subscriber')]),
  },
  {
    name: 'soak: heap that grows with events, retries and request-scoped handlers',
    unit: 'MB',
    most: 2,
    needs: 'soak',
    of: ({ soak }) => spread([worst(soak, ({ heap }) => heap / MEGABYTE)]),
  },
  {
    name: 'soak: timers, handles and listeners that grow with them',
    most: 2,
    needs: 'soak',
    of: ({ soak }) => spread([worst(soak, ({ timers, handles, listeners }) => timers + handles + listeners)]),
  },
  {
    name: 'soak: contexts, signals and handler instances that outlive their event, of some thousands',
    most: 20,
    needs: 'soak',
    of: ({ soak }) => spread([Math.max(...[soak.memory, soak.server].map(({ steps }) => steps.at(-1).kept))]),
  },
];

/** @returns each gate with its `spread`, the value that counts, and whether it `holds` */
export function judge(results, gates = GATES) {
  return gates.map((gate) => {
    const values = gate.of(results);
    const counts = gate.least === undefined ? values.q1 : values.q3;
    return { ...gate, values, holds: gate.least === undefined ? counts <= gate.most : counts >= gate.least };
  });
}

const ratioOf = ({ events, raw }, pick) => spread(ratios(events.map(pick), raw.map(pick)));
const rate = (results) => ratioOf(results, (trial) => trial.rate);

/** What the module adds, of processes that have loaded the package either way. */
const added = ({ with: having, without }, pick) => {
  const base = median(without.map(pick));
  return spread(having.map((run) => pick(run) - base));
};

/** The first step still fills caches; from then on nothing may grow. */
const grown = (heap, side) => (median(heap.slice(-2).map((each) => each[side])) - heap[0][side]) / MEGABYTE;

/** The growth of what is there in the last two steps, in the run where it is more. */
const worst = ({ memory, server }, pick) =>
  Math.max(
    ...[memory, server].map(({ steps, warm }) => {
      const values = steps.slice(warm).map(pick);
      return median(values.slice(-2)) - values[0];
    }),
  );
