/**
 * All benchmarks: `npm run bench`, about five minutes. Writes RESULTS.md and the plots beside this file.
 *
 *   --only core,latency    only these suites, printed and not written
 *   --rounds 15            paired rounds; 15 is the least for a figure that is published
 */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { build } from '../scripts/setup.mjs';
import { machine } from './harness/machine.mjs';
import { withServer } from './harness/server.mjs';
import { plot } from './report/plot.mjs';
import {
  faultLine,
  heapTable,
  latencyTable,
  machineLines,
  microTable,
  restartTable,
  soakTable,
  startUpTable,
  throughputTable,
  touchedTable,
} from './report/tables.mjs';
import { GROWTH, growth } from './suites/growth.mjs';
import { heap } from './suites/heap.mjs';
import { LATENCY, latency } from './suites/latency.mjs';
import { micro } from './suites/micro.mjs';
import { soak } from './suites/soak.mjs';
import { restart, startUp } from './suites/start-up.mjs';
import { CORE, core, DRAIN, drain, jetStream, STREAM } from './suites/throughput.mjs';

const HERE = import.meta.dirname;
const HEAP_EVENTS = 300_000;
const SOAK = { memory: 1_000_000, stored: 60_000, steps: 10 };
const say = (line) => process.stderr.write(`${line}\n`);

const { values } = parseArgs({
  options: { only: { type: 'string' }, rounds: { type: 'string', default: '15' } },
});
const rounds = Number(values.rounds);
if (!(rounds >= 1 && rounds <= 1_000)) throw new Error('--rounds must be a number from 1 to 1000');

/** Each answers with its part of the results. */
const SUITES = {
  core: async (server) =>
    section(
      'Core NATS, end to end',
      throughputTable(CORE, await core(server, { rounds, seconds: 0.7, say })),
    ),
  jetStream: async (server) =>
    section(
      'JetStream, end to end',
      '256 emits in flight, file storage, acknowledged after the handler.',
      throughputTable(STREAM, await jetStream(server, { rounds, seconds: 0.7, say })),
    ),
  drain: async (server) =>
    section(
      'JetStream, draining a backlog',
      'Events that were stored before, from the first handled to the last.',
      throughputTable(DRAIN, await drain(server, { rounds, seconds: 0.4, say })),
    ),
  latency: async (server) =>
    section(
      'Latency, emit to handler',
      '200 events a second.',
      latencyTable(LATENCY.core, await latency(LATENCY.core, server, { rounds, events: 80 })),
      latencyTable(LATENCY.jetStream, await latency(LATENCY.jetStream, server, { rounds, events: 80 })),
    ),
  startUp: async () => {
    const started = await startUp({ rounds, say });
    // On a server of its own: what is measured while nothing happens would also be what other suites have left.
    const restarted = await withServer((own) => restart(own, { restarts: Math.min(rounds, 5), say }));
    return section(
      'Start-up',
      'Medians of separate processes, heap and RSS after a collection.',
      startUpTable(started),
      touchedTable(started),
      faultLine(started),
      restartTable(restarted),
    );
  },
  micro: async () => section('Parts', microTable(await micro({ rounds }))),
  heap: async (server) =>
    section(
      `Live heap over ${HEAP_EVENTS} events, core NATS`,
      heapTable(await heap(server, { events: HEAP_EVENTS, steps: 10, say }), HEAP_EVENTS),
    ),
  soak: async (server) => {
    const { memory, server: stored } = await soak(server, { ...SOAK, say });
    const counted = ({ retried }) => `${retried} attempts failed and were followed by another.`;
    return section(
      'Soak: retries and request-scoped handlers',
      'Emitted and handled in one process, what is there after a collection. Every event is handled by a plain handler, each ' +
        'tenth also by one that is made for it, and one in a hundred by one whose first attempt fails. All are accounted for.',
      `On \`memory://\`, which keeps the last 100,000 events. ${counted(memory)}`,
      soakTable(memory),
      `On the server. ${counted(stored)}`,
      soakTable(stored),
    );
  },
  growth: async (server) => {
    const parts = [];
    for (const curve of GROWTH) {
      const results = await growth(curve, server, { trials: 2, say });
      const file = path.join('plots', `${curve.key}.svg`);
      if (values.only === undefined) await write(file, plot(chart(curve, results)));
      parts.push(`![${curve.title}](${file.replaceAll(path.sep, '/')})`);
    }
    return section('Growth', 'Processor time of each process per durable event, µs.', ...parts);
  },
};

const chosen = values.only?.split(',') ?? Object.keys(SUITES);
const unknown = chosen.find((name) => SUITES[name] === undefined);
if (unknown) throw new Error(`There is no suite ${unknown}; there are ${Object.keys(SUITES).join(', ')}.`);

await build();
const began = performance.now();
await withServer(async (server) => {
  const facts = machine({ 'nats-server': server.version });
  const sections = [];
  for (const name of chosen) {
    const since = performance.now();
    sections.push(await SUITES[name](server));
    say(`${name}: ${((performance.now() - since) / 1000).toFixed(0)} s`);
  }
  facts.took = `${((performance.now() - began) / 1000).toFixed(0)} s`;
  const report = [
    '# Results',
    'Written by `npm run bench`; how it measures and how to read it: [README.md](README.md). Ratios are medians of the ' +
      `ratios of ${rounds} paired rounds, quartiles in brackets; times are processor time per event.`,
    machineLines(facts),
    ...sections,
  ].join('\n\n');
  const markdown = await format(report, { ...(await resolveConfig(HERE)), parser: 'markdown' });
  if (values.only === undefined) await write('RESULTS.md', markdown);
  process.stdout.write(markdown);
});

function section(title, ...parts) {
  return [`## ${title}`, ...parts].join('\n\n');
}

function chart({ title, label }, results) {
  const lines = {};
  for (const [name, points] of Object.entries(results)) {
    for (const side of ['publisher', 'subscriber', 'server']) {
      // The kernel's clock is too coarse for a short trial of a fast server.
      const line = points.filter((point) => point[side] > 0).map((point) => ({ x: point.x, y: point[side] }));
      if (line.length > 1) lines[`${name}, ${side}`] = line;
    }
  }
  return { title, xLabel: label, yLabel: 'processor time, µs', lines };
}

async function write(file, content) {
  const target = path.join(HERE, file);
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, content);
}
