/** The brokers of the peers: from the PATH, else, for root on Debian and its relatives, from the distribution. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
// Debian's command would change to a user of its own and forget the environment.
const RABBITMQ = '/usr/lib/rabbitmq/bin/rabbitmq-server';

/** A Redis that writes every change to its log, as durable as the others. */
export async function withRedis(use) {
  const binary = find('redis-server');
  const version = execFileSync(binary, ['--version'], { encoding: 'utf8' }).match(/v=(\S+)/)[1];
  const port = await freePort();
  return withFolder('redis', (folder) => {
    const args = ['--bind', '127.0.0.1', '--port', `${port}`, '--dir', folder, '--save', ''];
    args.push('--appendonly', 'yes', '--maxmemory-policy', 'noeviction');
    const url = `redis://127.0.0.1:${port}`;
    return running(spawn(binary, args, { stdio: 'ignore' }), port, (pid) =>
      use({ url, version, pids: [pid] }),
    );
  });
}

export async function withRabbitMq(use) {
  const found = find('rabbitmq-server');
  const binary = existsSync(RABBITMQ) ? RABBITMQ : found;
  const [port, distribution, mapper] = [await freePort(), await freePort(), await freePort()];
  return withFolder('rabbitmq', async (folder) => {
    const pidFile = path.join(folder, 'pid');
    const env = {
      ...process.env,
      HOME: folder,
      ERL_EPMD_ADDRESS: '127.0.0.1',
      ERL_EPMD_PORT: `${mapper}`,
      RABBITMQ_NODENAME: `bench${port}@localhost`,
      RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
      RABBITMQ_NODE_PORT: `${port}`,
      RABBITMQ_DIST_PORT: `${distribution}`,
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
      RABBITMQ_MNESIA_BASE: path.join(folder, 'data'),
      RABBITMQ_LOG_BASE: path.join(folder, 'log'),
      RABBITMQ_PID_FILE: pidFile,
      RABBITMQ_ENABLED_PLUGINS_FILE: path.join(folder, 'plugins'),
      RABBITMQ_CONF_ENV_FILE: path.join(folder, 'none'),
      RABBITMQ_CONFIG_FILE: path.join(folder, 'none'),
    };
    try {
      return await running(spawn(binary, [], { stdio: 'ignore', env }), port, async () => {
        const pid = Number(await readFile(pidFile, 'utf8'));
        return use({ url: `amqp://guest:guest@127.0.0.1:${port}`, version: rabbitMqVersion(), pids: [pid] });
      });
    } finally {
      // The mapper of names outlives the node that started it.
      spawn('epmd', ['-port', `${mapper}`, '-kill'], { stdio: 'ignore' }).on('error', () => {});
    }
  });
}

function rabbitMqVersion() {
  try {
    return execFileSync('dpkg-query', ['-W', '-f', '${Version}', 'rabbitmq-server'], { encoding: 'utf8' });
  } catch {
    return 'unknown';
  }
}

/** Waits until the port answers, and stops the process in the end. */
async function running(child, port, use) {
  let ended = false;
  const exit = new Promise((resolve) => {
    child.once('exit', () => resolve((ended = true)));
    child.once('error', () => resolve((ended = true)));
  });
  // A signal ends this process without a `finally`.
  const kill = () => child.kill();
  process.once('exit', kill);
  try {
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await answers(port))) {
      if (ended || Date.now() > deadline) throw new Error(`${child.spawnfile} does not start`);
      await sleep(100);
    }
    return await use(child.pid);
  } finally {
    child.kill();
    const limit = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await exit;
    clearTimeout(limit);
    process.off('exit', kill);
  }
}

function find(name) {
  const which = () => {
    try {
      return execFileSync('which', [name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    } catch {
      return undefined;
    }
  };
  const found = which();
  if (found) return found;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    throw new Error(`There is no ${name} on the PATH: install it, or run this as root on Debian or Ubuntu.`);
  }
  process.stderr.write(`Installing ${name} (apt-get) ...\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args) =>
    execFileSync('apt-get', ['-qq', ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  apt('update');
  apt('install', '-y', '--no-install-recommends', name);
  return which() ?? name;
}

async function withFolder(name, use) {
  const folder = await mkdtemp(path.join(os.tmpdir(), `venta-${name}-`));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
