/**
 * Everything CI checks, with all set-up. Suites that need a nats-server run against the oldest and the newest supported
 * one; there is no run without.
 *
 *   npm test                     all but the suites on other versions of Node.js
 *   npm test -- --all            those as well
 *   npm test -- lint unit        only these steps
 */
import { spawn } from 'node:child_process';
import { mkdir, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { findServers } from './nats-server.mjs';
import { findNode } from './node-versions.mjs';
import { ROOT, setup, SIGNALS } from './setup.mjs';

const RESULTS = path.join(ROOT, '.cache', 'test-results');
const bin = (name, script) => [process.execPath, path.join(ROOT, 'node_modules', name, script)];
const jest = (name, ...args) => [process.execPath, ...jestArguments(name, ...args)];
const jestArguments = (name, ...args) => [
  path.join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js'),
  ...[
    '--ci',
    // At least two, since the suites also wait. With more than there are cores, bounds of time break.
    `--maxWorkers=${Math.max(2, os.availableParallelism())}`,
    // What Jest keeps of each file slows down the files after it, by a factor of ten at the end of the run.
    '--workerIdleMemoryLimit=300MB',
    '--json',
    `--outputFile=${path.join(RESULTS, `${name}.json`)}`,
    ...args,
  ],
];

const running = new Set();
let interrupted = false;

/** What runs then stops its servers and tells what it has said; nothing else begins. */
function endInOrder() {
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      interrupted = true;
      for (const child of running) child.kill(signal);
    });
  }
}

async function main() {
  const all = process.argv.includes('--all');
  const chosen = process.argv.slice(2).filter((argument) => argument !== '--all');
  await setup();
  await rm(RESULTS, { recursive: true, force: true });
  await mkdir(RESULTS, { recursive: true });
  const log = (line) => process.stderr.write(`${line}\n`);
  const servers = await findServers({ need: 'matrix', log });

  // These use one core, or wait for the network or for time to pass: one list runs beside the other.
  const checks = [
    { name: 'format', command: [...bin('prettier', 'bin/prettier.cjs'), '--check', '.'] },
    { name: 'types', command: [...bin('typescript', 'bin/tsc'), '--noEmit'] },
    { name: 'api', command: [process.execPath, path.join(ROOT, 'scripts', 'api.mjs'), '--check'] },
    {
      name: 'reference',
      command: [process.execPath, path.join(ROOT, 'scripts', 'reference.mjs'), '--check'],
    },
    { name: 'docs', command: [process.execPath, path.join(ROOT, 'scripts', 'docs.mjs')] },
  ];
  const lint = { name: 'lint', command: [...bin('eslint', 'bin/eslint.js'), '--max-warnings=0', '.'] };
  const samples = {
    name: 'samples',
    command: [process.execPath, path.join(ROOT, 'scripts', 'samples.mjs'), '--nats'],
  };
  const acceptance = {
    name: 'acceptance',
    command: [process.execPath, path.join(ROOT, 'scripts', 'acceptance.mjs')],
  };
  // These use all there is, and some of them measure time.
  const suites = [
    { name: 'unit', command: jest('unit', '--selectProjects', 'unit') },
    {
      name: 'integration',
      title: `integration, nats-server ${servers.newest.version}`,
      command: jest('integration', '--selectProjects', 'integration'),
      env: { NATS_SERVER_UNDER_TEST: 'newest' },
    },
    // The faults take minutes and are about our own conduct; what servers differ in, the other suites show. The memory
    // transport has no server.
    ...(servers.oldest.path === servers.newest.path
      ? []
      : [
          {
            name: 'integration-oldest',
            title: `integration without faults, nats-server ${servers.oldest.version}`,
            command: jest(
              'integration-oldest',
              '--selectProjects',
              'integration',
              '--testPathIgnorePatterns',
              '/spec/faults/',
              '/spec/conformance/memory',
            ),
            env: { NATS_SERVER_UNDER_TEST: 'oldest' },
          },
        ]),
    {
      name: 'integration-ack-v2',
      title: `suites that acknowledge, nats-server ${servers.newest.version} with acknowledgement subjects of version 2`,
      command: jest(
        'integration-ack-v2',
        '--selectProjects',
        'integration',
        '--testPathPatterns',
        '/spec/conformance/jetstream',
        '/spec/e2e/permissions',
        '/spec/faults/start-up-permissions',
      ),
      env: { NATS_SERVER_UNDER_TEST: 'newest', NATS_SERVER_FEATURES: 'js_ack_fc_v2: true' },
    },
    {
      name: 'chaos',
      command: [process.execPath, path.join(ROOT, 'scripts', 'chaos.mjs'), '--seconds', '10', '--seed', '1'],
    },
    {
      name: 'chaos-cluster',
      title: `chaos on three nodes, nats-server ${servers.oldest.version}`,
      command: [
        process.execPath,
        path.join(ROOT, 'scripts', 'chaos.mjs'),
        ...['--nodes', '3', '--server', 'oldest', '--seconds', '10', '--seed', '1'],
      ],
    },
  ];
  // The engine's own differences: promises, async context, JSON. Types are the compiler's, faults the server's business.
  const nodes = [
    { name: 'node-24', tag: '24' },
    { name: 'node-newest', tag: 'latest' },
  ].filter(({ name }) => all || chosen.includes(name));
  const engines = [];
  for (const { name, tag } of nodes) {
    const node = await findNode(tag, log);
    engines.push({
      name,
      title: `unit and conformance, Node.js ${node.version}, nats-server ${servers.newest.version}`,
      command: [
        node.path,
        ...jestArguments(
          name,
          ...['--testPathPatterns', '/spec/(core|middleware|nest|testing|transports/memory|conformance)/'],
        ),
      ],
      env: { NATS_SERVER_UNDER_TEST: 'newest' },
    });
  }
  const stages = [[checks, [lint]], [suites], [engines], [[samples], [acceptance]]];
  const steps = stages.flat(2);
  const unknown = chosen.find((name) => !steps.some((step) => step.name === name));
  if (unknown)
    throw new Error(
      `Unknown step ${unknown}; there are ${steps.map(({ name }) => name).join(', ')}, node-24, node-newest.`,
    );

  const isChosen = ({ name }) => chosen.length === 0 || chosen.includes(name);
  const results = new Map();
  // Not before: a signal ends the set-up at once.
  endInOrder();
  for (const stage of stages) {
    const lists = stage.map((list) => list.filter(isChosen)).filter(({ length }) => length > 0);
    const perform = lists.length > 1 ? runQuietly : runAloud;
    await Promise.all(
      lists.map(async (list) => {
        for (const step of list) {
          if (interrupted) return;
          const started = performance.now();
          const passed = await perform(step);
          results.set(step, { step, passed, seconds: (performance.now() - started) / 1000 });
        }
      }),
    );
  }
  const report = steps.flatMap((step) => results.get(step) ?? []);

  process.stdout.write('\n');
  for (const { step, passed, seconds } of report) {
    process.stdout.write(
      `${passed ? 'ok    ' : 'FAILED'}  ${step.title ?? step.name}, ${seconds.toFixed(0)} s\n`,
    );
  }
  // A check without tests of its own counts as one.
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { step, passed } of report) {
    const tests = await jestCounts(step);
    counts.passed += tests?.passed ?? (passed ? 1 : 0);
    counts.failed += tests === undefined ? (passed ? 0 : 1) : Math.max(tests.failed, passed ? 0 : 1);
    counts.skipped += tests?.skipped ?? 0;
  }
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  process.stdout.write(`Tests: ${counts.passed} passed, ${counts.failed} failed${skipped}\n`);
  if (interrupted) return 130;
  return counts.failed === 0 && counts.skipped === 0 ? 0 : 1;
}

async function jestCounts({ command }) {
  const output = command.find((argument) => argument.startsWith('--outputFile='));
  if (output === undefined) return undefined;
  const text = await readFile(output.slice('--outputFile='.length), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const { numPassedTests, numFailedTests, numFailedTestSuites, numPendingTests, numTodoTests } =
    JSON.parse(text);
  const failed = Math.max(numFailedTests, numFailedTestSuites);
  return { passed: numPassedTests, failed, skipped: numPendingTests + numTodoTests };
}

const heading = ({ title, name }) => `\n=== ${title ?? name}\n`;

function runAloud(step) {
  process.stdout.write(heading(step));
  // Jest writes its report to the file; what it prints for people goes to stderr.
  return run(step, ['ignore', step.command.includes('--json') ? 'ignore' : 'inherit', 'inherit']);
}

/** What it says comes when it has ended, in one piece. */
async function runQuietly(step) {
  const output = [];
  process.stdout.write(`--- ${step.name} begins\n`);
  const passed = await run(step, ['ignore', 'pipe', 'pipe'], (chunk) => output.push(chunk));
  process.stdout.write(Buffer.concat([Buffer.from(heading(step)), ...output]));
  return passed;
}

function run({ command: [command, ...args], env = {} }, stdio, onOutput) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio, env: { ...process.env, ...env } });
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', onOutput);
    running.add(child);
    child.once('error', reject);
    child.once('close', (code) => {
      running.delete(child);
      resolve(code === 0);
    });
  });
}

main().then(
  (code) => process.exit(code),
  (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  },
);
