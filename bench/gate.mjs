/**
 * The gates of CI, in about two minutes: `npm run bench:gate`. Ends with 1 if one of them does not hold.
 * What misses is measured anew, four times at the most: what is slow misses again, what met a busy machine does not.
 *
 *   --only core,micro    only these suites, and the gates that they answer
 */
import { parseArgs } from 'node:util';
import { build } from '../scripts/setup.mjs';
import { machine } from './harness/machine.mjs';
import { withServer } from './harness/server.mjs';
import { gatesTable, machineLines } from './report/tables.mjs';
import { GATES, judge } from './suites/gates.mjs';
import { heap } from './suites/heap.mjs';
import { LATENCY, latency } from './suites/latency.mjs';
import { micro } from './suites/micro.mjs';
import { INTERCEPTOR } from './suites/micro.mjs';
import { soak } from './suites/soak.mjs';
import { restart, startUp } from './suites/start-up.mjs';
import { core, drain, gated, jetStream } from './suites/throughput.mjs';

const ROUNDS = 8;
const TRIES = 5;
const say = (line) => process.stderr.write(`${line}\n`);

const short = { gate: true, rounds: ROUNDS, seconds: 0.5 };
const SUITES = {
  core: (server) => core(server, { ...short, say }),
  jetStream: (server) => jetStream(server, { ...short, say }),
  drain: (server) => drain(server, { ...short, seconds: 0.3, say }),
  latency: async (server) => ({
    core: await latency(gated(LATENCY.core), server, { rounds: ROUNDS, events: 100 }),
    jetStream: await latency(LATENCY.jetStream, server, { rounds: ROUNDS, events: 100 }),
  }),
  micro: () => micro({ rounds: 20, only: INTERCEPTOR }),
  restart: (server) => restart(server, { restarts: 4, idleSeconds: 0, say }),
  startUp: () => startUp({ rounds: ROUNDS, variants: ['without', 'with'] }),
  heap: (server) => heap(server, { events: 200_000, steps: 4 }),
  soak: (server) => soak(server, { memory: 300_000, stored: 40_000, steps: 6, say }),
};

const { values } = parseArgs({ options: { only: { type: 'string' } } });
const chosen = values.only?.split(',') ?? Object.keys(SUITES);
const unknown = chosen.find((name) => SUITES[name] === undefined);
if (unknown) throw new Error(`There is no suite ${unknown}; there are ${Object.keys(SUITES).join(', ')}.`);

await build();
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(0)} s`;
const started = performance.now();
const judged = await withServer(async (server) => {
  say(machineLines(machine({ 'nats-server': server.version })));
  const gates = GATES.filter(({ needs }) => chosen.includes(needs));
  const judged = new Map();
  let left = gates;
  for (let attempt = 1; left.length > 0 && attempt <= TRIES; attempt++) {
    const results = {};
    for (const name of chosen.filter((each) => left.some(({ needs }) => needs === each))) {
      const began = performance.now();
      results[name] = await SUITES[name](server);
      say(`${name}: ${seconds(began)}\n`);
    }
    for (const outcome of judge(results, left)) judged.set(outcome.name, outcome);
    left = gates.filter(({ name }) => !judged.get(name).holds);
    if (left.length > 0) say(`${gatesTable(left.map(({ name }) => judged.get(name)))}\n`);
  }
  return gates.map(({ name }) => judged.get(name));
});
process.stdout.write(`\n${gatesTable(judged)}\n\n${seconds(started)}, ${ROUNDS} rounds\n`);
process.exit(judged.every(({ holds }) => holds) ? 0 : 1);
