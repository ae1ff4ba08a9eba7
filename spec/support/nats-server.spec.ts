import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, Events, type NatsConnection, StorageType } from 'nats';
import { freePort, NatsCluster, NatsServer, type NatsServerOptions, serverBinary } from './nats-server';

// Enough for a cluster that has to be formed more than once: an election alone may take ten seconds.
jest.setTimeout(120_000);

const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function startServer(options?: NatsServerOptions): Promise<NatsServer> {
  const server = await NatsServer.start(options);
  cleanups.push(() => server.stop());
  return server;
}

async function startCluster(size?: number): Promise<NatsCluster> {
  const cluster = await NatsCluster.start(size);
  cleanups.push(() => cluster.stop());
  return cluster;
}

async function client(servers: string | string[], options: object = {}): Promise<NatsConnection> {
  const connection = await connect({ servers, ...options });
  cleanups.push(() => connection.close());
  return connection;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A process that has ended and that nobody has asked after yet still has its pid: state Z on Linux.
    const stat = existsSync('/proc/self/stat') ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
    return !/\) Z /.test(stat);
  } catch {
    return false;
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`still not so after 10 s: ${String(condition)}`);
    await sleep(10);
  }
}

describe('serverBinary', () => {
  const set = process.env.NATS_SERVER_UNDER_TEST_BIN;
  afterEach(() => {
    process.env.NATS_SERVER_UNDER_TEST_BIN = set;
  });

  it('says what is missing when no server was chosen', () => {
    delete process.env.NATS_SERVER_UNDER_TEST_BIN;
    expect(() => serverBinary()).toThrow(
      /NATS_SERVER_UNDER_TEST_BIN is not set.*--selectProjects integration/,
    );
  });
});

describe('NatsServer', () => {
  it('starts a server of 2.10 or newer that answers on the loopback', async () => {
    const server = await startServer();
    const connection = await client(server.url);
    await connection.flush();

    expect(connection.info?.port).toBe(server.port);
    expect(connection.info?.host).toBe('127.0.0.1');
    expect(connection.info?.version).toBe(server.version);
    const [major = 0, minor = 0] = server.version.split('.').map(Number);
    expect(major * 1000 + minor).toBeGreaterThanOrEqual(2010);
  });

  it('has JetStream at once', async () => {
    const server = await startServer();
    const jsm = await (await client(server.url)).jetstreamManager();
    const { config } = await jsm.streams.add({ name: 'S', subjects: ['s.>'], storage: StorageType.File });
    expect(config.name).toBe('S');
    expect(existsSync(path.join(server.storeDir, 'jetstream'))).toBe(true);
  });

  it('does without JetStream when told to', async () => {
    const server = await startServer({ jetstream: false });
    const connection = await client(server.url);
    expect(connection.info?.jetstream).toBeFalsy();
    await expect(connection.jetstreamManager()).rejects.toThrow();
  });

  it('takes a payload limit and lines of configuration', async () => {
    const server = await startServer({ maxPayload: 2048, config: 'authorization { token: "secret" }' });
    await expect(connect({ servers: server.url })).rejects.toThrow(/authorization/i);
    const connection = await client(server.url, { token: 'secret' });
    expect(connection.info?.max_payload).toBe(2048);
  });

  it('fails with the log of the server when the configuration is wrong', async () => {
    await expect(NatsServer.start({ config: 'no_such_setting: 1' })).rejects.toThrow(/no_such_setting/);
  });

  it('fails when there is no such binary', async () => {
    await expect(NatsServer.start({ binary: '/nonexistent/nats-server' })).rejects.toThrow(/ENOENT/);
  });

  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'keeps its port and its messages over %s and a restart',
    async (signal) => {
      const server = await startServer();
      const before = await client(server.url);
      const jsm = await before.jetstreamManager();
      await jsm.streams.add({ name: 'S', subjects: ['s.>'], storage: StorageType.File });
      for (let i = 0; i < 50; i++) await before.jetstream().publish('s.a', `m${i}`);
      await before.close();

      const { port, pid } = server;
      await server.kill(signal);
      expect(server.pid).toBeUndefined();
      await server.restart();

      expect(server.port).toBe(port);
      expect(server.pid).not.toBe(pid);
      const after = await (await client(server.url)).jetstreamManager();
      expect((await after.streams.info('S')).state.messages).toBe(50);
      expect((await after.streams.getMessage('S', { seq: 50 })).string()).toBe('m49');
    },
  );

  it('restarts a server that is up, or paused', async () => {
    const server = await startServer();
    const first = server.pid;
    await server.restart();
    const second = server.pid;
    server.pause();
    await server.restart();
    expect(new Set([first, second, server.pid]).size).toBe(3);
    await (await client(server.url)).flush();
  });

  it('lets a client reconnect by itself after a restart', async () => {
    const server = await startServer();
    const connection = await client(server.url, { reconnectTimeWait: 20, maxReconnectAttempts: -1 });
    const reconnected = (async () => {
      for await (const { type } of connection.status()) if (type === Events.Reconnect) return;
    })();
    await server.restart();
    await reconnected;
    await connection.flush();
    expect(connection.getServer()).toBe(`127.0.0.1:${server.port}`);
  });

  it('stands still while paused and goes on after', async () => {
    const server = await startServer();
    const connection = await client(server.url);
    await connection.flush();

    server.pause();
    const flushed = connection.flush().then(() => 'flushed');
    await expect(Promise.race([flushed, sleep(300, 'nothing')])).resolves.toBe('nothing');
    server.resume();
    await expect(flushed).resolves.toBe('flushed');
  });

  it.each(['SIGKILL', 'SIGTERM'] as const)('ends a paused server with %s', async (signal) => {
    const server = await startServer();
    const pid = server.pid!;
    server.pause();
    await server.kill(signal);
    expect(isAlive(pid)).toBe(false);
  });

  it('leaves nothing behind when killed and stopped', async () => {
    const server = await startServer();
    const pid = server.pid!;
    await server.kill();
    await server.kill();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(server.storeDir)).toBe(true);
    await expect(connect({ servers: server.url, timeout: 500 })).rejects.toThrow();

    await server.stop();
    await server.stop();
    expect(existsSync(path.dirname(server.storeDir))).toBe(false);
    await expect(server.restart()).rejects.toThrow(/stopped/);
    expect(() => server.pause()).toThrow(/not running/);
  });

  it('uses a store it is given, and leaves it there', async () => {
    const storeDir = await mkdtemp(path.join(os.tmpdir(), 'nats-store-'));
    cleanups.push(() => rm(storeDir, { recursive: true, force: true }));
    const first = await startServer({ storeDir });
    const jsm = await (await client(first.url)).jetstreamManager();
    await jsm.streams.add({ name: 'S', subjects: ['s.>'], storage: StorageType.File });
    await first.stop();

    const second = await startServer({ storeDir });
    const after = await (await client(second.url)).jetstreamManager();
    expect((await after.streams.info('S')).config.name).toBe('S');
  });

  it('reloads its configuration', async () => {
    const server = await startServer({ config: 'max_payload: 4096' });
    const connection = await client(server.url);
    expect(connection.info?.max_payload).toBe(4096);

    await server.reload('max_payload: 8192');
    expect((await client(server.url)).info?.max_payload).toBe(8192);
    await server.reload('max_payload: 1024');
    expect((await client(server.url)).info?.max_payload).toBe(1024);
    await expect(server.reload('no_such_setting: 1')).rejects.toThrow(/no_such_setting/);
  });

  it('notices that its port was taken while it was down', async () => {
    const server = await startServer();
    await server.kill();
    const thief = createServer().listen(server.port, '127.0.0.1');
    await once(thief, 'listening');
    const restarted = server.restart();
    await until(() => /address already in use/.test(server.log()));
    await new Promise((resolve) => thief.close(resolve));
    await restarted;
    await (await client(server.url)).flush();
  });

  it('dies with the process that started it, even when that is killed', async () => {
    // Jest's own processes cannot be killed from here, so another one loads the harness.
    const script = `
      const { transformFileSync } = require('@swc/core');
      const { code } = transformFileSync(${JSON.stringify(path.join(__dirname, 'nats-server.ts'))}, {
        jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' },
      });
      const harness = { exports: {} };
      new Function('module', 'exports', 'require', code)(harness, harness.exports, require);
      harness.exports.NatsServer.start().then((server) => {
        console.log(JSON.stringify({ pid: server.pid, storeDir: server.storeDir }));
        setInterval(() => {}, 1000);
      });`;
    const child = spawn(process.execPath, ['-e', script], {
      cwd: path.join(__dirname, '..', '..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const { pid, storeDir } = JSON.parse(line) as { pid: number; storeDir: string };
    expect(isAlive(pid)).toBe(true);

    child.kill('SIGKILL');
    await until(() => !isAlive(pid));
    await until(() => !existsSync(path.dirname(storeDir)));
  });
});

describe('NatsCluster', () => {
  // While a new or bereaved stream elects its leader nobody answers, however long one waits: so ask again.
  const impatient = { timeout: 2_000 };
  async function insistently<T>(request: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + 30_000;
    for (;;) {
      try {
        return await request();
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
  }

  it('elects a leader and takes a stream of three replicas', async () => {
    const cluster = await startCluster();
    expect(cluster.servers).toHaveLength(3);
    expect(cluster.servers).toContain(await cluster.waitForMetaLeader());

    const connection = await client(cluster.urls);
    const jsm = await connection.jetstreamManager(impatient);
    const r3 = { name: 'R3', subjects: ['r.>'], num_replicas: 3 };
    const info = await insistently(() => jsm.streams.add(r3));
    expect(info.cluster?.replicas).toHaveLength(2);
    const js = connection.jetstream(impatient);
    const ack = await insistently(() => js.publish('r.a', 'x', { msgID: '1' }));
    expect(ack.seq).toBe(1);
  });

  it('elects another leader when the first is killed, and takes the first back', async () => {
    const cluster = await startCluster(3);
    const first = await cluster.waitForMetaLeader();
    const survivors = cluster.servers.filter((server) => server !== first);
    const connection = await client(survivors.map((server) => server.url));
    const jsm = await connection.jetstreamManager(impatient);
    await insistently(() => jsm.streams.add({ name: 'R3', subjects: ['r.>'], num_replicas: 3 }));

    await first.kill();
    const second = await cluster.waitForMetaLeader();
    expect(survivors).toContain(second);

    await first.restart();
    await cluster.waitForMetaLeader();
    const later = await (await client(first.url)).jetstreamManager(impatient);
    expect((await insistently(() => later.streams.info('R3'))).config.num_replicas).toBe(3);
  });

  it('needs at least two servers', async () => {
    await expect(NatsCluster.start(1)).rejects.toThrow(RangeError);
  });
});

describe('freePort', () => {
  it('gives ports that can be listened on', async () => {
    const port = await freePort();
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    await new Promise((resolve) => server.close(resolve));
  });
});
