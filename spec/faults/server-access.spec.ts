import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { credsAuthenticator, nkeys, type Authenticator } from 'nats';
import { eventually, Ledger } from '../support/fault-ledger';
import { fault } from '../support/fault-scene';
import { JwtAccess } from '../support/jwt-access';

const RAW = { user: 'raw', pass: 'raw' };
const users = (list: string): string =>
  `accounts { A { jetstream: enabled, users: [ { user: raw, password: raw }, ${list} ] } }`;

const withPassword = (password: string): string => users(`{ user: app, password: ${password} }`);

fault(
  'F23 a password that was changed is taken on as soon as it is known',
  async (scene, server) => {
    let pass = 'old';
    let asked = 0;
    const ledger = new Ledger();
    const service = await scene.service('app', {
      connection: {
        authenticator: () => {
          asked++;
          return { user: 'app', pass };
        },
      },
    });
    await service.subscribe('thing', ledger.handler(), { name: 'h' });
    await ledger.emit(service, 'thing', 'before');

    await server.reload(withPassword('new'));
    await eventually('the server throws it out', () => !service.status.connected);
    // Two refusals in a row make the client give up by default.
    const before = asked;
    await eventually('it was refused again and again', () => asked >= before + 4);
    expect(service.status.connected).toBe(false);
    pass = 'new';
    const known = Date.now();
    await eventually('it is connected again', () => service.status.connected);
    expect(Date.now() - known).toBeLessThan(10_000);
    await ledger.emit(service, 'thing', 'after');
    await eventually('it is handled', () => ledger.handled.has('after'));
    expect(ledger.lost()).toEqual([]);
    expect(service.status.problems).toEqual([]);
  },
  { config: withPassword('old'), raw: RAW },
);

// The client's types of it are `any`.
interface UserKey {
  getPublicKey(): string;
  getSeed(): Uint8Array;
}
const newKey = (): UserKey => (nkeys as { createUser(): UserKey }).createUser();
const [before, after] = [newKey(), newKey()];
const withKey = (key: UserKey): string => users(`{ nkey: ${key.getPublicKey()} }`);

fault(
  'F23 an nkey that was changed in its file is taken on, a missing file is survived',
  async (scene, server) => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'nkey-'));
    scene.atEnd(() => rm(folder, { recursive: true }));
    const nkey = path.join(folder, 'seed');
    await writeFile(nkey, before.getSeed());
    const ledger = new Ledger();
    const service = await scene.service('app', { connection: { nkey } });
    await service.subscribe('thing', ledger.handler(), { name: 'h' });

    await rm(nkey);
    await server.reload(withKey(after));
    await eventually('the server throws it out', () => !service.status.connected);
    await eventually('it is loud', () => scene.log.find('warn', /credentials.*cannot be read/)[0]);
    await writeFile(nkey, after.getSeed());
    const known = Date.now();
    await eventually('it is connected again', () => service.status.connected);
    expect(Date.now() - known).toBeLessThan(10_000);
    await ledger.emit(service, 'thing', 'after');
    await eventually('it is handled', () => ledger.handled.has('after'));
    expect(scene.log.lines.filter(({ message }) => message.includes('SU'))).toEqual([]);
  },
  { config: withKey(before), raw: RAW },
);

const jwt = new JwtAccess();
const LIFETIME = 5; // seconds

for (const how of ['file', 'function'] as const) {
  fault(
    `F23 a JWT that expires under way is told, and a new one is taken on as soon as the ${how} gives it`,
    async (scene) => {
      const folder = await mkdtemp(path.join(os.tmpdir(), 'jwt-'));
      scene.atEnd(() => rm(folder, { recursive: true }));
      const creds = path.join(folder, 'app.creds');
      let current = '';
      const renew = async (credentials: string): Promise<void> => {
        current = credentials;
        await writeFile(creds, credentials);
      };
      await renew(jwt.credentials(LIFETIME));
      const authenticator = (nonce?: string): ReturnType<Authenticator> =>
        credsAuthenticator(Buffer.from(current))(nonce);
      const ledger = new Ledger();
      const service = await scene.service('app', {
        connection: how === 'file' ? { creds } : { authenticator },
        publishTimeout: 60_000,
      });
      await service.subscribe('thing', ledger.handler(), { name: 'h' });
      await ledger.emit(service, 'thing', 'before');

      await eventually('the server throws it out', () => !service.status.connected);
      await eventually('status says why', () => service.status.problems.find((each) => /expired/.test(each)));
      const meanwhile = ledger.emit(service, 'thing', 'meanwhile');
      await eventually('it is refused', () => service.status.problems.find((each) => /refuse/.test(each)));
      // Tried again and again, and told once.
      const refusals = (): string[] => scene.log.find('error', /refuse/);
      expect(refusals()).toHaveLength(1);

      await renew(jwt.credentials());
      const known = Date.now();
      await eventually('it is connected again', () => service.status.connected);
      expect(Date.now() - known).toBeLessThan(10_000);
      await meanwhile;
      await eventually('all are handled', () => ledger.handled.size === 2);
      expect([...ledger.refused.values()]).toEqual([]);
      expect(refusals()).toHaveLength(1);
      expect(service.status.problems).toEqual([]);
      // Neither the token nor the seed is told.
      expect(scene.log.lines.filter(({ message }) => /eyJ|SU[A-Z2-7]{20}/.test(message))).toEqual([]);
    },
    { config: jwt.config, raw: { authenticator: credsAuthenticator(Buffer.from(jwt.credentials())) } },
  );
}

const permitted = users('{ user: app, password: app }');
const denying = (permissions: string): string =>
  users(`{ user: app, password: app, permissions: { ${permissions} } }`);
const APP = { connection: { user: 'app', pass: 'app' } };

for (const delivery of ['durable', 'ephemeral'] as const) {
  fault(
    `F24 ${delivery}: a permission to publish that is taken away is told, and works again when it is back`,
    async (scene, server) => {
      const ledger = new Ledger();
      const service = await scene.service('app', { ...APP, delivery, publishTimeout: 5000 });
      await service.subscribe('thing', ledger.handler(), { name: 'h' });
      await ledger.emit(service, 'thing', 'before');

      await server.reload(denying(`publish: { deny: "${scene.clusterId}.thing" }`));
      await eventually('the service is still there', () => service.status.connected);
      await ledger.emit(service, 'thing', 'denied-1');
      await ledger.emit(service, 'thing', 'denied-2');
      await ledger.emit(service, 'other', 'allowed');
      for (const id of ['denied-1', 'denied-2'])
        expect(ledger.refused.get(id)).toMatchObject({ code: 'permission_denied', retryable: false });
      expect(ledger.acknowledged.has('allowed')).toBe(true);
      expect(service.status.problems.join()).toMatch(/denies .* publish to .*\.thing/);

      await server.reload(permitted);
      await eventually('emits go through again', async () => {
        await ledger.emit(service, 'thing', 'after');
        return ledger.acknowledged.has('after');
      });
      await eventually('it is handled', () => ledger.handled.has('after'));
      await eventually('nothing is wrong any more', () => service.status.problems.length === 0);
    },
    { config: permitted, raw: RAW },
  );
}

fault(
  'F24 a permission to pull that is taken away is told, and consumption goes on when it is back',
  async (scene, server) => {
    const ledger = new Ledger();
    const service = await scene.service('app', APP);
    await service.subscribe('thing', ledger.handler(), { name: 'h' });
    await server.reload(denying('publish: { deny: "$JS.API.CONSUMER.MSG.NEXT.>" }'));
    await eventually('the service is still there', () => service.status.connected);
    for (let n = 0; n < 300; n++) await ledger.emit(service, 'thing', `e${n}`);
    await eventually('it is told', () => service.status.problems.find((p) => /CONSUMER\.MSG\.NEXT/.test(p)));
    expect(ledger.lost().length).toBeGreaterThan(0);

    await server.reload(permitted);
    await eventually('all are handled', () => ledger.lost().length === 0);
    await eventually('nothing is wrong any more', () => service.status.problems.length === 0);
  },
  { config: permitted, raw: RAW },
);

fault(
  'F24 a permission to listen that is taken away is told, and events arrive when it is back',
  async (scene, server) => {
    const ledger = new Ledger();
    const service = await scene.service('app', { ...APP, publishTimeout: 60_000 });
    await service.subscribe('thing', ledger.handler(), { name: 'durable' });
    const ephemeral = new Ledger();
    await service.subscribe('thing', ephemeral.handler(), { name: 'ephemeral', delivery: 'ephemeral' });
    await ledger.emit(service, 'thing', 'before');
    await eventually('both have it', () => ledger.handled.size + ephemeral.handled.size === 2);

    await server.reload(denying(`subscribe: { deny: ["${scene.clusterId}.>", "_INBOX.app.>"] }`));
    await eventually('it is told', () => service.status.problems.find((p) => /ubscri/.test(p)));
    const emit = ledger.emit(service, 'thing', 'meanwhile');

    await server.reload(permitted);
    await emit;
    await eventually('it is handled', () => ledger.lost().length === 0);
    await eventually('the ephemeral one hears again', async () => {
      await ledger.emit(service, 'thing', `after-${Date.now()}`);
      return ephemeral.handled.size > 1;
    });
    await eventually('nothing is wrong any more', () => service.status.problems.length === 0);
    expect([...ledger.refused.values()]).toEqual([]);
  },
  { config: permitted, raw: RAW },
);

fault(
  'F24 a permission to acknowledge that is taken away is told; what cannot be settled is not taken, and nothing is lost',
  async (scene, server) => {
    const ledger = new Ledger();
    const service = await scene.service('app', APP);
    await service.subscribe('thing', ledger.handler(), { name: 'h', concurrency: 5 });
    await scene.ackWait('app__h', 2000);
    await ledger.emit(service, 'thing', 'before');
    await scene.settled('app__h');

    await server.reload(denying('publish: { deny: "$JS.ACK.>" }'));
    await eventually('the service is still there', () => service.status.connected);
    await ledger.emit(service, 'thing', 'denied');
    await eventually('it is told', () =>
      service.status.problems.find((p) => /publish to "\$JS\.ACK/.test(p)),
    );
    expect(scene.log.find('error', /denies .* publish to "\$JS\.ACK/)).toHaveLength(1);
    for (let n = 0; n < 50; n++) await ledger.emit(service, 'thing', `e${n}`);
    // What was asked for before still comes, and comes again; nothing is asked for on top of that.
    await eventually('it asks for no more', async () => (await scene.consumer('app__h')).num_waiting === 0);
    expect(ledger.lost().length).toBeGreaterThan(30);
    const { reruns } = ledger;
    expect((await scene.consumer('app__h')).num_ack_pending).toBeGreaterThan(0);

    await server.reload(permitted);
    await eventually('all are handled', () => ledger.lost().length === 0);
    await scene.settled('app__h');
    await eventually('nothing is wrong any more', () => service.status.problems.length === 0);
    expect(ledger.reruns - reruns).toBeLessThanOrEqual(20);
    expect([...ledger.refused.values()]).toEqual([]);
    expect(await scene.deadLetters()).toEqual([]);
  },
  { config: permitted, raw: RAW },
);
