/**
 * Runs every sample within a time limit and compares what it prints with its expected-output.txt.
 *
 *   node scripts/samples.mjs            on the embedded transport; with NATS_SERVER_BIN set also on a real server
 *   node scripts/samples.mjs --nats     also on a real server, which it finds or fetches
 *   node scripts/samples.mjs --update   writes what they print on the embedded transport as expected; with --nats, also
 *                                       what those print that need a server
 *
 * Ids, times and durations are replaced before the comparison: an id by its number, so that the same stays the same.
 */
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { linesThatDiffer } from './line-diff.mjs';
import { ROOT, setup, SIGNALS, startNatsServer, startSample } from './setup.mjs';

const TIME_LIMIT_MS = 60_000;
const FOLDER = path.join(ROOT, 'samples');

/** Samples that name their transport in the code. The others take the NATS_URL that they are given. */
const EMBEDDED_ONLY = ['quickstart'];

/** Samples that use Nest's own NATS transport beside this package. */
const SERVER_ONLY = ['migrate-from-nest-nats'];

async function main() {
  const given = process.argv.slice(2);
  const unknown = given.find((argument) => !['--nats', '--update'].includes(argument));
  if (unknown) throw new Error(`Unknown option ${unknown}; there are --nats and --update.`);
  await setup();

  // A signal ends what runs, and then this, but not before the server is stopped.
  let interrupted;
  for (const signal of SIGNALS) process.on(signal, () => (interrupted = signal));

  const names = await sampleNames();
  const onServer = given.includes('--nats') || process.env.NATS_SERVER_BIN;
  const update = given.includes('--update');
  const needsServer = (name) => SERVER_ONLY.includes(name);
  const runs = [
    ...names.filter((name) => !needsServer(name)).map((name) => () => check(name, 'memory', { update })),
    ...names
      .filter((name) => onServer && !EMBEDDED_ONLY.includes(name))
      .map((name) => () => checkOnServer(name, { update: update && needsServer(name) })),
  ];
  if (!onServer) process.stdout.write(`not run: ${SERVER_ONLY.join(', ')}, on a server only: --nats\n`);
  let passed = true;
  for (const run of runs) {
    passed = (await run()) && passed;
    if (interrupted) return 128 + os.constants.signals[interrupted];
  }
  return passed ? 0 : 1;
}

/** A server each: nobody finds what another has left in a stream. */
async function checkOnServer(name, { update }) {
  const server = await startNatsServer();
  try {
    return await check(name, `nats-server ${server.version}`, { url: server.url, update });
  } finally {
    await server.stop();
  }
}

async function sampleNames() {
  const entries = await readdir(FOLDER, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

async function check(name, transport, { url, update = false }) {
  const started = performance.now();
  const file = path.join(FOLDER, name, 'expected-output.txt');
  const { problem, stdout, stderr } = await runSample(name, url);
  const printed = normalize(stdout);
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  if (update && !problem) await writeFile(file, printed);
  const expected = (await readFile(file, 'utf8').catch(() => '')).replaceAll('\r\n', '\n');

  const problems = problem ? [problem] : [];
  if (printed !== expected) problems.push('printed something else than expected (-), namely (+):');
  process.stdout.write(`${problems.length ? 'FAILED' : 'ok    '}  ${name} on ${transport}, ${seconds} s\n`);
  if (problems.length === 0) return true;

  const indent = (lines) => lines.map((line) => `          ${line}\n`).join('');
  process.stdout.write(`        It ${problems.join(' and ')}\n`);
  if (printed !== expected)
    process.stdout.write(indent(linesThatDiffer(expected.split('\n'), printed.split('\n'))));
  if (stderr) process.stdout.write(`        On stderr:\n${indent(stderr.trimEnd().split('\n'))}`);
  return false;
}

async function runSample(name, url) {
  const sample = startSample(name, { url, stdio: ['ignore', 'pipe', 'pipe'] });
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    sample.kill('SIGKILL');
  }, TIME_LIMIT_MS);
  const [stdout, stderr, [code, signal]] = await Promise.all([
    text(sample.stdout),
    text(sample.stderr),
    once(sample, 'exit'),
  ]);
  clearTimeout(limit);
  let problem;
  if (late) problem = `did not end within ${TIME_LIMIT_MS / 1_000} s`;
  else if (code !== 0) problem = `ended with ${signal ?? `exit code ${code}`}`;
  return { problem, stdout, stderr };
}

/** What differs from run to run, replaced by what it is. */
function normalize(output) {
  const ids = new Map();
  const numbered = (id) => {
    // A short id is the beginning of the long one.
    const key = id.slice(0, 8);
    if (!ids.has(key)) ids.set(key, ids.size + 1);
    return `<id ${ids.get(key)}>`;
  };
  return output
    .replaceAll('\r\n', '\n')
    .replace(/\b(?:memory|nats):\/\/[\w.:-]*/g, '<url>')
    .replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '<time>')
    .replace(/\b\d+(?:\.\d+)? ms\b/g, '<duration>')
    .replace(/\b[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\b|\b[\da-f]{8}\b/g, numbered);
}

main().then(
  (code) => process.exit(code),
  (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  },
);
