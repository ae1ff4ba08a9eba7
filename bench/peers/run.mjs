/**
 * Ours, the raw client and the peers, side by side: `npm run bench:peers`, by hand. Installs what it needs in this folder
 * and writes RESULTS.md.
 *
 *   --only core,durable,latency    only these, printed and not written
 *   --rounds 15                    paired rounds; 15 is the least for a figure that is published
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { build } from '../../scripts/setup.mjs';
import { machine } from '../harness/machine.mjs';
import { measure } from '../harness/rounds.mjs';
import { withServer } from '../harness/server.mjs';
import { latencyTable, machineLines, throughputTable, timesTable } from '../report/tables.mjs';
import { DEFAULT_STREAM, OUR_CORE, OUR_STREAM, RAW_CORE, RAW_STREAM } from '../suites/contenders.mjs';
import { latency } from '../suites/latency.mjs';
import { withRabbitMq, withRedis } from './servers.mjs';

const HERE = import.meta.dirname;
const at = (...parts) => path.join(HERE, ...parts);
const say = (line) => process.stderr.write(`${line}\n`);

const NEST_11 = {
  key: 'nest-11',
  title: 'Nest 11, NATS transport',
  module: at('contenders', 'nest-11-nats.mjs'),
  goal: 2.3,
};
const NEST_12 = {
  key: 'nest-12',
  title: 'Nest 12, NATS transport',
  module: at('nest-12', 'nest-12-nats.mjs'),
};
const intercepted = ({ key, title, module }) => ({
  key: `${key}-interceptor`,
  title: `${title}, one interceptor`,
  module,
  options: { interceptor: true },
});
/** `goal`: how many times its rate ours is to be. */
const CORE = [
  { ...RAW_CORE, goal: 1.3 },
  OUR_CORE,
  NEST_11,
  intercepted(NEST_11),
  NEST_12,
  intercepted(NEST_12),
];
const durable = (redis, rabbitMq) => [
  { ...RAW_STREAM, goal: 1.8 },
  { ...DEFAULT_STREAM, goal: 3 },
  OUR_STREAM,
  {
    key: 'plugins',
    title: '@nestjs-plugins/nestjs-nats-jetstream-transport',
    module: at('contenders', 'nestjs-plugins-jetstream.mjs'),
    goal: 3.5,
  },
  {
    key: 'bullmq',
    title: 'BullMQ, concurrency 100',
    module: at('contenders', 'bullmq.mjs'),
    server: redis,
    goal: 5,
  },
  {
    key: 'rabbitmq',
    title: '@golevelup/nestjs-rabbitmq, confirms, prefetch 100',
    module: at('contenders', 'golevelup-rabbitmq.mjs'),
    server: rabbitMq,
    goal: 2.5,
  },
];

const { values } = parseArgs({
  options: { only: { type: 'string' }, rounds: { type: 'string', default: '15' } },
});
const rounds = Number(values.rounds);
if (!(rounds >= 1 && rounds <= 1_000)) throw new Error('--rounds must be a number from 1 to 1000');

const SUITES = {
  core: async ({ nats }) => {
    const results = await measure(CORE, nats, { rounds, seconds: 0.7, say });
    return ['## At most once, core NATS', throughputTable(CORE, results), ...ofUs(CORE, results)];
  },
  durable: async ({ nats, redis, rabbitMq }) => {
    const contenders = durable(redis, rabbitMq);
    const results = await measure(contenders, nats, { rounds, seconds: 0.7, first: 2_000, say });
    return ['## At least once', throughputTable(contenders, results), ...ofUs(contenders, results)];
  },
  latency: async ({ nats, redis, rabbitMq }) => {
    const contenders = durable(redis, rabbitMq).filter(({ key }) => key !== DEFAULT_STREAM.key);
    const options = { rounds, events: 100 };
    return [
      '## Latency at 200 events a second',
      latencyTable(CORE, await latency(CORE, nats, options)),
      latencyTable(contenders, await latency(contenders, nats, options)),
    ];
  },
};

/** The same results the other way round: what the goals are about. */
const ofUs = (contenders, results) => [
  'How many times the rate of each the one of `@venta/events` was in the same rounds:',
  timesTable(contenders, results, 'events'),
];

const chosen = values.only?.split(',') ?? Object.keys(SUITES);
const unknown = chosen.find((name) => SUITES[name] === undefined);
if (unknown) throw new Error(`There is no suite ${unknown}; there are ${Object.keys(SUITES).join(', ')}.`);

install(HERE);
install(at('nest-12'));
await build();
await withServer((nats) =>
  withRedis((redis) =>
    withRabbitMq(async (rabbitMq) => {
      const facts = machine({
        'nats-server': nats.version,
        redis: redis.version,
        rabbitmq: rabbitMq.version,
        ...Object.fromEntries(
          ['@nestjs-plugins/nestjs-nats-jetstream-transport', 'bullmq', '@golevelup/nestjs-rabbitmq'].map(
            (name) => [name, versionOf(name, HERE)],
          ),
        ),
        'Nest 11': versionOf('@nestjs/microservices', HERE),
        'Nest 12': versionOf('@nestjs/microservices', at('nest-12')),
      });
      const sections = [];
      const began = performance.now();
      for (const name of chosen) sections.push(...(await SUITES[name]({ nats, redis, rabbitMq })));
      facts.took = `${((performance.now() - began) / 1000).toFixed(0)} s`;
      const report = [
        '# Results with peers',
        'Written by `npm run bench:peers`; how it measures and how to read it: [README.md](../README.md). Ratios are medians ' +
          `of the ratios of ${rounds} paired rounds, quartiles in brackets; times are processor time per event.`,
        machineLines(facts),
        ...sections,
      ].join('\n\n');
      const markdown = await format(report, { ...(await resolveConfig(HERE)), parser: 'markdown' });
      if (values.only === undefined) await writeFile(at('RESULTS.md'), markdown);
      process.stdout.write(markdown);
    }),
  ),
);

function install(folder) {
  if (existsSync(path.join(folder, 'node_modules', '.package-lock.json'))) return;
  say(`Installing ${path.relative(process.cwd(), folder)} (npm ci) ...`);
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    shell: process.platform === 'win32',
    stdio: ['ignore', process.stderr, 'inherit'],
  });
}

function versionOf(name, folder) {
  return JSON.parse(readFileSync(path.join(folder, 'node_modules', name, 'package.json'), 'utf8')).version;
}
