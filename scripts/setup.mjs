/**
 * What has to be there before anything of the project runs: the packages, the build, the compiled samples, and, where
 * it is asked for, a nats-server. Each step does nothing when nothing has changed.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const ROOT = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const CACHE = path.join(ROOT, '.cache');
const SAMPLES = path.join(CACHE, 'samples');

const SERVER_START_TIMEOUT_MS = 20_000;
const SERVER_STOP_TIMEOUT_MS = 5_000;
const POLL_MS = 20;

const say = (line) => process.stderr.write(`${line}\n`);

/** The node version, the packages and the build: what a fresh clone lacks. */
export async function setup() {
  checkNode();
  await install();
  await build();
}

/** @throws with the versions that are supported */
export function checkNode(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  const supported = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22;
  if (!supported)
    throw new Error(`Node.js 20.19 or newer, or 22.12 or newer, is needed; this is ${version}.`);
}

// ---------------------------------------------------------------------------------------------- packages

/** `npm ci`, when what is installed is not what package-lock.json says. */
export async function install() {
  if (await isInstalled()) return;
  say('Installing the packages (npm ci) ...');
  const { command, options } = npmCommand();
  await run(command[0], [...command.slice(1), 'ci', '--no-audit', '--no-fund', '--loglevel=error'], options);
}

/** The npm that runs this script, if one does; a shell elsewhere, since npm is a .cmd file on Windows. */
export function npmCommand() {
  const npm = process.env.npm_execpath || '';
  if (/^npm-cli\.c?js$/.test(path.basename(npm))) return { command: [process.execPath, npm], options: {} };
  return { command: ['npm'], options: { shell: process.platform === 'win32' } };
}

/** Compares the lock file with the record that npm itself keeps of what it installed. */
async function isInstalled() {
  const [wanted, present] = await Promise.all(
    ['package-lock.json', 'node_modules/.package-lock.json'].map(async (file) => {
      const text = await readFile(path.join(ROOT, file), 'utf8').catch(() => '{}');
      return JSON.parse(text).packages || {};
    }),
  );
  const same = (a, b) => a.version === b.version && a.integrity === b.integrity;
  return (
    Object.keys(present).every((name) => wanted[name] !== undefined) &&
    Object.entries(wanted).every(([name, entry]) => {
      if (name === '') return true;
      // npm leaves out the optional packages of other platforms.
      if (present[name] === undefined) return entry.optional === true || entry.devOptional === true;
      return same(entry, present[name]) && existsSync(path.join(ROOT, name));
    })
  );
}

// ---------------------------------------------------------------------------------------------- build

/** Builds the library, and the samples against that build. */
export async function build() {
  const library = await digest(
    'lib',
    'scripts/build.mjs',
    'tsconfig.json',
    'tsconfig.build.json',
    'package.json',
  );
  await unlessCurrent('library', library, path.join(ROOT, 'dist', 'index.js'), async () => {
    say('Building the library ...');
    await run(process.execPath, [path.join(ROOT, 'scripts', 'build.mjs')]);
  });
  const samples = `${library} ${await digest('samples')}`;
  await unlessCurrent('samples', samples, path.join(SAMPLES, 'venta', 'main.js'), async () => {
    say('Compiling the samples ...');
    await rm(SAMPLES, { recursive: true, force: true });
    // Under .cache they are still inside this package, so that their '@venta/events' is dist/, by package.json.
    const tsc = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    await run(process.execPath, [tsc, '-p', path.join(ROOT, 'samples', 'tsconfig.build.json')]);
  });
}

/** Remembers from which input an output was made, and when, in case somebody else makes it anew from another. */
async function unlessCurrent(name, input, output, make) {
  const stamp = path.join(CACHE, `${name}.stamp`);
  const current = async () => `${input} ${(await stat(output)).mtimeMs}`;
  if (existsSync(output) && (await readFile(stamp, 'utf8').catch(() => '')) === (await current())) return;
  await make();
  await mkdir(CACHE, { recursive: true });
  await writeFile(stamp, await current());
}

/** A digest of files, and of the sources in folders. */
async function digest(...names) {
  const hash = createHash('sha256');
  for (const name of names) {
    const place = path.join(ROOT, name);
    const isFolder = (await stat(place)).isDirectory();
    const entries = isFolder ? await readdir(place, { recursive: true, withFileTypes: true }) : [];
    const files = entries
      .filter((entry) => entry.isFile() && /\.(ts|json)$/.test(entry.name))
      .map((entry) => path.join(entry.parentPath || entry.path, entry.name));
    for (const file of isFolder ? files.sort() : [place]) {
      hash
        .update(`${path.relative(ROOT, file)}\0`)
        .update(await readFile(file))
        .update('\0');
    }
  }
  return hash.digest('hex');
}

// ---------------------------------------------------------------------------------------------- samples

/** What ends a program from outside; where a server is to be stopped or a sample runs, it must not end at once. */
export const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Starts a compiled sample with an environment of its own: what this shell says of other servers stays outside. While
 * it runs, signals are its business.
 * @param {string} name its folder
 * @param {{ url?: string, args?: string[], stdio?: import('node:child_process').StdioOptions }} options
 */
export function startSample(name, { url, args = [], stdio = 'inherit' } = {}) {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([key]) => !/^(NATS_|EVENT_|APP_NAME$)/.test(key)),
  );
  if (url) env.NATS_URL = url;
  const main = path.join(SAMPLES, name, 'main.js');
  const sample = spawn(process.execPath, ['--enable-source-maps', main, ...args], { cwd: ROOT, env, stdio });
  const forward = (signal) => sample.kill(signal);
  for (const signal of SIGNALS) process.on(signal, forward);
  sample.once('exit', () => SIGNALS.forEach((signal) => process.off(signal, forward)));
  return sample;
}

// ---------------------------------------------------------------------------------------------- nats-server

/**
 * A nats-server with JetStream on a free port of this machine and a temporary store.
 * @returns {Promise<{ url: string, version: string, pid: number, stop: () => Promise<void> }>}
 */
export async function startNatsServer() {
  const { findServers } = await import('./nats-server.mjs');
  const { newest: binary } = await findServers({ need: 'any', log: say });
  const folder = await mkdtemp(path.join(os.tmpdir(), 'venta-nats-'));
  const log = path.join(folder, 'server.log');
  // The server itself picks the port, and says in a file of this folder which.
  const args = ['-a', '127.0.0.1', '-p', '-1', '-js', '-sd', folder, '--ports_file_dir', folder, '-l', log];
  // In a process group of its own: a Ctrl-C in the terminal is for the services, which still need the server to stop.
  const server = spawn(binary.path, args, { stdio: 'ignore', detached: true });
  let ended = false;
  const exit = new Promise((resolve) => {
    server.once('exit', () => resolve((ended = true)));
    server.once('error', () => resolve((ended = true)));
  });

  const stop = async () => {
    if (!ended) {
      server.kill();
      const killing = setTimeout(() => server.kill('SIGKILL'), SERVER_STOP_TIMEOUT_MS);
      await exit;
      clearTimeout(killing);
    }
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };

  const portsFile = path.join(folder, `nats-server_${server.pid}.ports`);
  const readUrl = async () => JSON.parse(await readFile(portsFile, 'utf8').catch(() => '{}')).nats?.[0];
  const deadline = Date.now() + SERVER_START_TIMEOUT_MS;
  for (;;) {
    const url = await readUrl().catch(() => undefined); // half written: once more
    if (url) return { url, version: binary.version, pid: server.pid, stop };
    if (ended || Date.now() > deadline) {
      const tail = (await readFile(log, 'utf8').catch(() => '')).slice(-2_000);
      await stop();
      throw new Error(`${binary.path} ${ended ? 'ended at once' : 'does not start'}. Its log:\n${tail}`);
    }
    await sleep(POLL_MS);
  }
}

// ---------------------------------------------------------------------------------------------- commands

/** Runs a command to its end, its output on stderr: stdout belongs to the samples. */
function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      stdio: ['ignore', process.stderr, 'inherit'],
      ...options,
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (code === 0) return resolve();
      const words = [command, ...args].map((word) => path.basename(word)).join(' ');
      return reject(new Error(`${words} failed (${signal || `exit code ${code}`}).`));
    });
  });
}
