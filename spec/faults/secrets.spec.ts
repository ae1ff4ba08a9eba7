import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { nkeys } from 'nats';
import { createEventService, type EventsModuleOptions } from '../../lib/nest';
import { eventually } from '../support/fault-ledger';
import { Relay } from '../support/fault-relay';
import { fault, RecordedLog } from '../support/fault-scene';
import { freePort, serverBinary } from '../support/nats-server';

const seed = Buffer.from(
  (nkeys as { createUser(): { getSeed(): Uint8Array } }).createUser().getSeed(),
).toString();
const folder = mkdtempSync(path.join(os.tmpdir(), 'secrets-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A server that takes connections and says nothing, or what it is told to say. */
async function listen(words = '', heard: (text: string) => void = () => undefined): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).on('data', (data) => heard(data.toString()));
    socket.write(words);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
const portOf = (server: Server): number => (server.address() as AddressInfo).port;

describe('F63 a secret where a path was meant', () => {
  const half = Math.floor(seed.length / 2);
  const token = `eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.${'QWxhZGRpbjpvcGVuIHNlc2FtZQ'.repeat(4)}.x`;
  const body = 'MC4CAQAwBQYDK2VwBCIEIDp5m8Tn0qJv6WkqYd7sZ1xOq3uGmHc2';
  const cases: [string, EventsModuleOptions['connection'], string][] = [
    ['a seed in quotes', { nkey: `"${seed}"` }, seed],
    ['a seed with a space', { nkey: `${seed.slice(0, half)} ${seed.slice(half)}` }, seed.slice(half)],
    ['a seed with its line end', { nkey: `${seed}\n` }, seed],
    ['a seed in small letters', { nkey: seed.toLowerCase() }, seed.toLowerCase()],
    ['a seed as the credentials file', { creds: ` ${seed} ` }, seed],
    ['a seed after its name', { creds: `seed=${seed}` }, seed],
    ['credentials in one line', { creds: `-----BEGIN NATS USER JWT----- ${token}` }, token.slice(60)],
    ['a token', { creds: token }, token.slice(60)],
    ['a key without its lines', { tls: { keyFile: body, certFile: '/run/c.pem' } }, body],
    ['a key as the authority', { tls: { caFile: body } }, body],
  ];
  it.each(cases)('%s is neither logged nor thrown', async (_what, connection, secret) => {
    const log = new RecordedLog();
    const info =
      '{"server_id":"x","version":"2.12.0","proto":1,"headers":true,"max_payload":1048576,"tls_required":true,"nonce":"n"}';
    const server = await listen(`INFO ${info}\r\n`);
    const error: unknown = await createEventService(
      { appName: 'app', url: `nats://127.0.0.1:${portOf(server)}`, connection, connectTimeout: 400 },
      log,
    ).catch((failure: unknown) => failure);
    server.close();
    expect(error).toBeInstanceOf(Error);
    const shown = inspect(error, { depth: 9 }) + JSON.stringify(log.lines);
    expect(shown).toMatch(/connection\.(?:nkey|creds|tls\.\w+)/);
    expect(shown).not.toContain(secret);
    expect(shown).not.toContain(seed.slice(2, 30));
  });
});

fault(
  'F63 a password stays on this machine, whatever servers the cluster announces',
  async (scene, server) => {
    let heard = '';
    const info =
      '{"server_id":"x","version":"2.12.0","proto":1,"headers":true,"max_payload":1048576,"auth_required":true}';
    const stranger = await listen(`INFO ${info}\r\n`, (text) => (heard += text));
    scene.atEnd(async () => void stranger.close());
    // Leads to this machine, and is not one of its names.
    const announced = `0.0.0.0:${portOf(stranger)}`;
    const relay = await Relay.to(server.port);
    scene.atEnd(() => relay.stop());
    relay.rewrites = (text) => text.replaceAll('INFO {', `INFO {"connect_urls":["${announced}"],`);
    const url = relay.url.replace('//', '//app:sesame@');
    const [careful, careless] = await Promise.all([
      scene.service('careful', { url }),
      scene.service('careless', { url, connection: { allowInsecurePassword: true } }),
    ]);
    relay.open = false;
    relay.cut();
    await eventually('it goes to the other where it may', () => heard.includes('"name":"careless'));
    await eventually('the other has given up', () => !careful.status.connected && !careless.status.connected);
    expect(heard).not.toContain('"name":"careful');
    relay.open = true;
    await eventually('they are connected again', () => careful.status.connected, 10_000);
    expect(heard).not.toContain('"name":"careful');
  },
  {
    config: 'authorization { user: app, password: sesame }',
    raw: { user: 'app', pass: 'sesame' },
  },
);

describe('F63 a certificate is checked for the address that is dialled', () => {
  const file = (name: string): string => path.join(folder, name);
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' });

  beforeAll(() => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      file('ca.key'),
      '-out',
      file('ca.pem'),
      '-subj',
      '/CN=ca',
      '-days',
      '2',
    );
    for (const name of ['DNS:localhost', 'IP:127.0.0.1']) {
      openssl('req', ...key, '-keyout', file(`${name}.key`), '-out', file('csr'), '-subj', '/CN=server');
      writeFileSync(file('extensions'), `subjectAltName=${name}`);
      const ca = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial'];
      openssl(
        'x509',
        '-req',
        '-in',
        file('csr'),
        ...ca,
        '-out',
        file(`${name}.pem`),
        '-days',
        '2',
        '-extfile',
        file('extensions'),
      );
    }
  });

  it.each([
    ['DNS:localhost', '127.0.0.1', false, false],
    ['DNS:localhost', 'localhost', true, false],
    ['IP:127.0.0.1', '127.0.0.1', true, false],
    ['IP:127.0.0.1', '127.0.0.1', true, true],
    ['DNS:localhost', '127.0.0.1', false, true],
  ])('%s at %s: accepted %s (handshake first: %s)', async (name, host, accepted, handshakeFirst) => {
    const port = await freePort();
    const config = file(`${port}.conf`);
    const tls = `cert_file: "${file(`${name}.pem`)}", key_file: "${file(`${name}.key`)}", handshake_first: ${handshakeFirst}`;
    writeFileSync(
      config,
      `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${file(String(port))}" }\ntls { ${tls} }\n`,
    );
    const server = spawn(serverBinary(), ['-c', config], { stdio: 'ignore' });
    const exited = new Promise((resolve) => server.once('exit', resolve));
    try {
      const connection = { tls: { caFile: file('ca.pem'), handshakeFirst } };
      const options = {
        appName: 'app',
        url: `tls://${host}:${port}`,
        connectTimeout: accepted ? 10_000 : 1500,
        connection,
      };
      const log = new RecordedLog();
      const outcome = createEventService(options, log);
      if (!accepted) {
        await expect(outcome).rejects.toThrow(/altnames|IP: 127\.0\.0\.1 is not/i);
        return;
      }
      const service = await outcome;
      await service.emit('thing', {});
      server.kill('SIGKILL');
      await eventually('the outage is seen', () => !service.status.connected);
      const again = spawn(serverBinary(), ['-c', config], { stdio: 'ignore' });
      try {
        await eventually('it is connected again', () => service.status.connected, 10_000);
        await service.drain();
      } finally {
        again.kill('SIGKILL');
      }
    } finally {
      server.kill('SIGKILL');
      await exited;
    }
  });
});

describe('F40 a server that takes connections and says nothing', () => {
  const sockets = (): number =>
    process.getActiveResourcesInfo().filter((each) => each === 'TCPSocketWrap').length;

  it.each([
    ['plain', 'nats', undefined],
    ['TLS', 'tls', undefined],
    ['TLS that begins with the handshake', 'tls', { tls: { handshakeFirst: true } }],
  ])('keeps no socket of a start-up that failed (%s)', async (_how, scheme, connection) => {
    const held = new Set<unknown>();
    const server = createServer((socket) => {
      held.add(socket);
      socket
        .on('error', () => undefined)
        .on('close', () => held.delete(socket))
        .resume();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `${scheme}://127.0.0.1:${portOf(server)}`;
    const before = sockets();
    const starts = Array.from({ length: 4 }, () =>
      createEventService(
        { appName: 'app', url, connectTimeout: 300, ...(connection && { connection }) },
        new RecordedLog(),
      ).catch((error: unknown) => error),
    );
    for (const error of await Promise.all(starts)) expect(error).toMatchObject({ code: 'connection_failed' });
    await eventually('no socket is left', () => held.size === 0 && sockets() <= before, 3000);
    server.close();
  });
});
