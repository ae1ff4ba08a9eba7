import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { createServer, connect as connectSocket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type NatsConnection, NatsError, StorageType } from 'nats';

const HOST = '127.0.0.1';
const POLL_MS = 15;
const READY_TIMEOUT_MS = 20_000;
const EXIT_TIMEOUT_MS = 20_000;
const START_TRIES = 5;
// A vote that was split is held again after four to nine seconds.
const ELECTION_TIMEOUT_MS = 12_000;
const FORGOTTEN_AFTER_MS = 2_000;
const MAX_REPLICAS = 5;

export interface NatsServerOptions {
  /** Default: the server under test, see `serverBinary()`. */
  binary?: string;
  /** Default: true. */
  jetstream?: boolean;
  /** Extra lines of server configuration; `reload()` replaces them. */
  config?: string;
  /** In bytes. */
  maxPayload?: number;
  /** Of a cluster: whether its members tell clients of one another. Default: true. */
  advertise?: boolean;
  /** A folder to keep streams in. It is left alone at the end; without it, a temporary one is used and removed. */
  storeDir?: string;
}

/** The nats-server binary the tests run against, chosen by the integration project's global setup. */
export function serverBinary(): string {
  const binary = process.env.NATS_SERVER_UNDER_TEST_BIN;
  if (!binary) {
    throw new Error(
      'NATS_SERVER_UNDER_TEST_BIN is not set. It is set by spec/support/global-setup.ts: run these tests with ' +
        '`jest --selectProjects integration`.',
    );
  }
  return binary;
}

/**
 * A port on the loopback that nothing listens on. It lies below the range that the system hands out to outgoing
 * connections, so that a server that is down for a while finds its port still free: a client that keeps
 * reconnecting could otherwise be given that very port, and even end up connected to itself.
 */
export async function freePort(): Promise<number> {
  const low = 10_240;
  const high = Math.min(32_768, firstEphemeralPort());
  for (let count = 0; count < 200 && high - low >= 1_000; count++) {
    const port = low + Math.floor(Math.random() * (high - low));
    if ((await listenOnce(port)) !== undefined) return port;
  }
  const port = await listenOnce(0);
  if (port === undefined) throw new Error(`There is no free port on ${HOST}.`);
  return port;
}

function firstEphemeralPort(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/)[0]);
  } catch {
    // Not Linux: macOS and Windows start at 49152.
    return 49_152;
  }
}

function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ port, host: HOST, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : undefined));
    });
  });
}

interface Settings extends NatsServerOptions {
  name: string;
  cluster?: { name: string; port: number; routes: number[] };
}

interface ServerInfo {
  server_name: string;
  version: string;
}

interface JetStreamStatus {
  meta_cluster?: {
    leader?: string;
    replicas?: { name: string; current: boolean; offline?: boolean }[];
  };
}

class PortTakenError extends Error {}

/**
 * When the members of a cluster start at the same moment, nats-server 2.10 now and then elects a leader with some of
 * the votes and never counts the rest of the members in, although they follow it; and, rarer still, elects none for
 * as long as one cares to wait. There is no way out but to form the cluster anew.
 */
class NotSettledError extends Error {}

let started = 0;

/** One nats-server process on the loopback, in a temporary folder of its own. */
export class NatsServer {
  readonly url: string;
  private process?: ChildProcess;
  private guard?: ChildProcess;
  private exited: Promise<void> = Promise.resolve();
  private paused = false;
  private stopped = false;
  private info?: ServerInfo;
  private extra: string;

  private constructor(
    private readonly settings: Settings,
    private readonly folder: string,
    readonly storeDir: string,
    readonly port: number,
    private readonly monitorPort: number,
  ) {
    this.url = `nats://${HOST}:${port}`;
    this.extra = settings.config ?? '';
  }

  /** Resolves when clients can connect and JetStream answers. */
  static async start(options: NatsServerOptions = {}): Promise<NatsServer> {
    for (let count = 1; ; count++) {
      const server = await NatsServer.create({ ...options, name: nextName() });
      try {
        await server.launch();
        await server.ready();
        return server;
      } catch (error) {
        await server.stop();
        if (!(error instanceof PortTakenError) || count === START_TRIES) throw error;
      }
    }
  }

  /** Of use to `NatsCluster`: the folder and the ports, and no process yet. */
  static async create(settings: Settings): Promise<NatsServer> {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'nats-server-'));
    const storeDir = settings.storeDir ?? path.join(folder, 'store');
    await mkdir(storeDir, { recursive: true });
    const server = new NatsServer(settings, folder, storeDir, await freePort(), await freePort());
    server.guard = startGuard(folder);
    return server;
  }

  get name(): string {
    return this.settings.name;
  }

  /** Undefined while the server is down. */
  get pid(): number | undefined {
    return this.process?.pid;
  }

  get running(): boolean {
    return this.process !== undefined && !this.paused;
  }

  get version(): string {
    if (!this.info) throw new Error(`${this.name} has not been up yet.`);
    return this.info.version;
  }

  /** Ends the process and waits until it is gone. The store stays, for `restart()`. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    if (!this.process) return;
    if (this.process.pid !== undefined) {
      this.signal(signal);
      // A paused process does not see SIGTERM before it goes on.
      if (this.paused) this.signal('SIGCONT');
    }
    const timer = new AbortController();
    const late = sleep(EXIT_TIMEOUT_MS, true, { signal: timer.signal }).catch(() => false);
    const isLate = await Promise.race([this.exited, late]);
    timer.abort();
    if (isLate) throw this.failure(`is still there ${EXIT_TIMEOUT_MS} ms after ${signal}`);
  }

  /** The process stands still: its connections stay open and nothing answers. */
  pause(): void {
    this.signal('SIGSTOP');
    this.paused = true;
    // The signal takes its time to reach all of the process's threads, which go on answering until then.
    const deadline = Date.now() + EXIT_TIMEOUT_MS;
    while (this.process?.pid !== undefined && !isAtRest(this.process.pid)) {
      if (Date.now() > deadline) throw this.failure('does not stand still');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }

  resume(): void {
    this.signal('SIGCONT');
    this.paused = false;
  }

  /** On the same port and the same store. A server that is still up is killed first, with SIGKILL. */
  async restart(): Promise<void> {
    if (this.stopped) throw new Error(`${this.name} has been stopped.`);
    await this.kill();
    for (let count = 1; ; count++) {
      try {
        await this.launch();
        await this.ready();
        return;
      } catch (error) {
        await this.kill();
        if (!(error instanceof PortTakenError) || count === START_TRIES) throw error;
        await sleep(200 * count);
      }
    }
  }

  /** Kills the process and removes the temporary folder. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.kill();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
    this.guard?.kill('SIGKILL');
    this.guard = undefined;
  }

  /** Puts these lines in the place of `options.config` and resolves when the running server has taken them on. */
  async reload(config: string): Promise<void> {
    this.extra = config;
    await this.writeConfig();
    const before = this.log().length;
    this.signal('SIGHUP');
    await this.poll('did not reload its configuration', async () => {
      const news = this.log().slice(before);
      if (/Failed to reload/i.test(news)) throw this.failure('refused the new configuration');
      return /Reloaded server configuration/i.test(news);
    });
  }

  /** All that this server has logged, over all of its restarts. */
  log(): string {
    try {
      return readFileSync(this.logFile, 'utf8');
    } catch {
      return '';
    }
  }

  /** Starts the process, and does not wait for it to be of use. */
  async launch(): Promise<void> {
    await this.writeConfig();
    const binary = this.settings.binary ?? serverBinary();
    await appendFile(this.logFile, `--- ${binary}\n`);
    const output = await open(this.logFile, 'a');
    try {
      const child = spawn(binary, ['-c', this.configFile], { stdio: ['ignore', output.fd, output.fd] });
      this.paused = false;
      this.process = child;
      this.exited = new Promise((resolve) => {
        const gone = (): void => {
          this.process = undefined;
          this.paused = false;
          this.watch('');
          resolve();
        };
        child.once('exit', gone);
        child.once('error', (error) => {
          void appendFile(this.logFile, `${error.message}\n`).finally(gone);
        });
      });
      // A test that forgets to stop its server must not keep Jest from ending; the guard takes care of the server.
      child.unref();
      if (child.pid !== undefined) this.watch(String(child.pid));
    } finally {
      await output.close();
    }
  }

  /**
   * Waits until clients can connect and JetStream is up. A member of a cluster is ready with its own JetStream:
   * whether the cluster has a leader is another question, see `NatsCluster.waitForMetaLeader()`.
   */
  async ready(): Promise<void> {
    const health = this.settings.cluster ? '/healthz?js-enabled-only=true' : '/healthz';
    await this.poll('is not ready', async () => {
      this.info = await readInfo(this.port);
      // Someone else's server on this port: ours will say that it could not have it.
      if (this.info?.server_name !== this.name) return false;
      return (await this.monitor<{ status: string }>(health))?.status === 'ok';
    });
  }

  /** What the monitoring endpoint says; undefined when it does not answer with success. */
  async monitor<T>(endpoint: string): Promise<T | undefined> {
    try {
      const response = await fetch(`http://${HOST}:${this.monitorPort}${endpoint}`, {
        headers: { connection: 'close' },
        signal: AbortSignal.timeout(2_000),
      });
      const body = await response.text();
      return response.ok ? (JSON.parse(body) as T) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Calls `check` until it is true. Ends early when the process does. */
  async poll(complaint: string, check: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    for (;;) {
      if (!this.process) {
        const failure = this.failure('has ended');
        throw /address already in use/i.test(this.logSinceLaunch())
          ? new PortTakenError(failure.message)
          : failure;
      }
      if (await check()) return;
      if (Date.now() > deadline) throw this.failure(`${complaint} after ${READY_TIMEOUT_MS} ms`);
      await sleep(POLL_MS);
    }
  }

  private get configFile(): string {
    return path.join(this.folder, 'server.conf');
  }

  private get logFile(): string {
    return path.join(this.folder, 'server.log');
  }

  private logSinceLaunch(): string {
    const log = this.log();
    return log.slice(log.lastIndexOf('--- '));
  }

  private failure(what: string): Error {
    return new Error(`nats-server ${this.name} ${what}. Its log:\n${this.logSinceLaunch().slice(-4_000)}`);
  }

  private signal(signal: NodeJS.Signals): void {
    if (this.process?.pid === undefined) throw new Error(`${this.name} is not running.`);
    // Through the child object, which knows when the process is gone and so never hits a pid that was given away.
    this.process.kill(signal);
  }

  private watch(pid: string): void {
    this.guard?.stdin?.write(`${pid}\n`);
  }

  private async writeConfig(): Promise<void> {
    const { name, cluster, jetstream = true, maxPayload, advertise = true } = this.settings;
    const lines = [
      `server_name: ${JSON.stringify(name)}`,
      `host: ${HOST}`,
      `port: ${this.port}`,
      `http: "${HOST}:${this.monitorPort}"`,
    ];
    if (maxPayload !== undefined) lines.push(`max_payload: ${maxPayload}`);
    if (jetstream) {
      // Without limits of its own, the server takes them from the free disk and memory of the machine.
      lines.push(
        `jetstream { store_dir: ${JSON.stringify(this.storeDir)}, max_memory_store: 256MB, max_file_store: 4GB }`,
      );
    }
    if (cluster) {
      const routes = cluster.routes.map((port) => `"nats-route://${HOST}:${port}"`).join(', ');
      const quiet = advertise ? '' : ', no_advertise: true';
      lines.push(
        `cluster { name: ${cluster.name}, listen: "${HOST}:${cluster.port}", routes: [${routes}]${quiet} }`,
      );
    }
    const features = process.env.NATS_SERVER_FEATURES;
    if (features && !this.extra.includes('feature_flags')) lines.push(`feature_flags { ${features} }`);
    await writeFile(this.configFile, `${lines.join('\n')}\n${this.extra}\n`);
  }
}

/** Servers that form one JetStream cluster. */
export class NatsCluster {
  private constructor(readonly servers: NatsServer[]) {}

  get urls(): string[] {
    return this.servers.map((server) => server.url);
  }

  /** Resolves when the cluster has a leader that all members follow, and a place for streams on all of them. */
  static async start(size = 3, options: Omit<NatsServerOptions, 'storeDir'> = {}): Promise<NatsCluster> {
    if (size < 2) throw new RangeError(`A cluster has at least 2 servers, not ${size}.`);
    for (let count = 1; ; count++) {
      const cluster = await NatsCluster.create(size, options);
      try {
        await Promise.all(cluster.servers.map((server) => server.launch()));
        await Promise.all(cluster.servers.map((server) => server.ready()));
        await cluster.leaderWithin(ELECTION_TIMEOUT_MS, FORGOTTEN_AFTER_MS);
        return cluster;
      } catch (error) {
        await cluster.stop();
        const again = error instanceof PortTakenError || error instanceof NotSettledError;
        if (!again || count === START_TRIES) throw error;
      }
    }
  }

  private static async create(size: number, options: NatsServerOptions): Promise<NatsCluster> {
    const name = nextName();
    const ports: number[] = [];
    while (ports.length < size) {
      const port = await freePort();
      if (!ports.includes(port)) ports.push(port);
    }
    const servers: NatsServer[] = [];
    for (const [index, port] of ports.entries()) {
      const cluster = { name, port, routes: ports.filter((other) => other !== port) };
      servers.push(await NatsServer.create({ ...options, name: `${name}-${index + 1}`, cluster }));
    }
    return new NatsCluster(servers);
  }

  /**
   * Waits until the members that are up agree on a leader among them and are in step with it, and, where all are up,
   * take a stream with a replica on each; returns that leader. After a leader was lost, electing the next one takes
   * up to ten seconds. Streams elect leaders of their own, and while a stream has none, requests about it go
   * unanswered: ask again rather than wait for longer.
   */
  async waitForMetaLeader(): Promise<NatsServer> {
    return this.leaderWithin(2 * ELECTION_TIMEOUT_MS);
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  private async leaderWithin(timeout: number, forgottenAfter = Infinity): Promise<NatsServer> {
    const deadline = Date.now() + timeout;
    let forgottenSince: number | undefined;
    while (Date.now() < deadline) {
      const up = this.servers.filter((server) => server.running);
      const { leader, followers } = await this.state(up);
      if (leader && followers === up.length - 1) {
        if (await this.placesStreams()) return leader;
        forgottenSince = undefined;
      } else if (leader) {
        forgottenSince ??= Date.now();
        if (Date.now() - forgottenSince > forgottenAfter) {
          throw new NotSettledError(`The leader counts ${followers} of ${up.length - 1} others.`);
        }
      } else {
        forgottenSince = undefined;
      }
      await sleep(POLL_MS);
    }
    const logs = this.servers.map((server) => `${server.name}:\n${server.log().slice(-2_000)}`).join('\n');
    throw new NotSettledError(`The cluster has not settled after ${timeout} ms. The logs:\n${logs}`);
  }

  /** The leader, once all agree on it and say that they are well, and how many of the others it finds in step. */
  private async state(up: NatsServer[]): Promise<{ leader?: NatsServer; followers: number }> {
    const states = await Promise.all(up.map((server) => server.monitor<JetStreamStatus>('/jsz')));
    const name = states[0]?.meta_cluster?.leader;
    const leader = up.find((server) => server.name === name);
    if (!leader || states.some((state) => state?.meta_cluster?.leader !== name)) return { followers: 0 };
    // Without the streams: one that has lost too many replicas must not hide that the cluster itself is well.
    const health = await Promise.all(
      up.map((server) => server.monitor<{ status: string }>('/healthz?js-server-only=true')),
    );
    if (health.some((state) => state?.status !== 'ok')) return { followers: 0 };

    // Only the leader knows how far the others are.
    const replicas = states[up.indexOf(leader)]?.meta_cluster?.replicas ?? [];
    const followers = up.filter((server) =>
      replicas.some((replica) => replica.name === server.name && replica.current && !replica.offline),
    );
    return { leader, followers: followers.length };
  }

  /**
   * Tries it with a stream of its own: for a moment a leader knows of a member but not yet of its free storage, which
   * no endpoint tells, and turns streams away ("no suitable peers for placement"). Of use only with all members up:
   * a leader takes a while to notice that one is gone, and would place the stream there.
   */
  private async placesStreams(): Promise<boolean> {
    if (!this.servers.every((server) => server.running)) return true;
    const name = `harness_probe_${process.pid}`;
    let connection: NatsConnection | undefined;
    try {
      connection = await connect({ servers: this.urls, reconnect: false, timeout: 2_000 });
      const { streams } = await connection.jetstreamManager({ timeout: 2_000 });
      try {
        const num_replicas = Math.min(this.servers.length, MAX_REPLICAS);
        await streams.add({ name, subjects: [name], storage: StorageType.Memory, num_replicas });
        return true;
      } finally {
        await streams.delete(name).catch(() => {});
      }
    } catch (error) {
      // Who asks for credentials has to do without this test.
      return error instanceof NatsError && error.isAuthError();
    } finally {
      await connection?.close();
    }
  }
}

function nextName(): string {
  started += 1;
  return `t${process.pid}-${started}`;
}

/** Whether every thread of the process is stopped (T), or past stopping (Z, X). */
function isAtRest(pid: number): boolean {
  try {
    if (process.platform !== 'linux') {
      return /^[TZ]/.test(
        execFileSync('ps', ['-o', 'state=', '-p', String(pid)], { encoding: 'utf8' }).trim(),
      );
    }
    return readdirSync(`/proc/${pid}/task`).every((thread) =>
      /\) [TZX] [^)]*$/.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')),
    );
  } catch {
    // A process, or a thread of it, that went away between two looks: the next look tells, and is soon enough.
    return !isThere(pid);
  }
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The first thing a server says to a client; undefined when no server answers. */
function readInfo(port: number): Promise<ServerInfo | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connectSocket({ port, host: HOST });
    const done = (info?: ServerInfo): void => {
      socket.destroy();
      resolve(info);
    };
    socket.setEncoding('utf8');
    // Not a server of ours, or one that is slow just now: the caller asks again.
    socket.setTimeout(500, () => done());
    socket.once('error', () => done());
    socket.once('close', () => done());
    socket.on('data', (chunk: string) => {
      text += chunk;
      const line = /^INFO (\{.*\})\s*\r\n/.exec(text)?.[1];
      if (line) done(JSON.parse(line) as ServerInfo);
    });
  });
}

/**
 * A shell that outlives this process for a moment: when the pipe from here breaks, however this process ended, it
 * kills the server whose pid it was last told and removes the folder. An 'exit' handler cannot do this: Jest gives
 * tests a copy of `process` that never emits 'exit', and nothing handles a SIGKILL of the worker.
 */
function startGuard(folder: string): ChildProcess | undefined {
  if (process.platform === 'win32') return undefined;
  const script =
    'pid=""; while read -r line; do pid=$line; done; ' +
    '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; sleep 0.2; rm -rf "$1"';
  // A process group of its own, so that a Ctrl-C in the terminal does not end it before its work is done.
  const guard = spawn('/bin/sh', ['-c', script, 'sh', folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.unref();
  const stdin = guard.stdin as unknown as { unref?: () => void };
  stdin.unref?.();
  guard.stdin.on('error', () => {});
  return guard;
}
