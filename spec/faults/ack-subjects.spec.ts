import { readFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, Ledger } from '../support/fault-ledger';
import { fault, type FaultScene } from '../support/fault-scene';

/** The permissions of docs/guides/operations.md, as an administrator copies them. */
const page = readFileSync(path.join(__dirname, '../../docs/guides/operations.md'), 'utf8');
const TEMPLATE = /^permissions: \{\n[\s\S]*?^\}/m.exec(page)?.[0] ?? '';
const V1 = '"$JS.ACK.events.>", "$JS.ACK.events-retry.>",';
const V2 = '"$JS.ACK.*.*.events.>", "$JS.ACK.*.*.events-retry.>",';
const RAW = { user: 'raw', pass: 'raw' };

const without = (lines: string): string => {
  if (!TEMPLATE.includes(lines)) throw new Error(`the template has no ${lines}`);
  return TEMPLATE.replace(lines, '');
};

const config = (permissions: string, clusterId: string, version2: boolean): string =>
  `${version2 ? 'feature_flags { js_ack_fc_v2: true }' : ''}
  authorization { users: [ { user: raw, password: raw }, { user: app, password: app, ${permissions.replaceAll(/events(?=[-.">])/g, clusterId)} } ] }`;

const ofService = { connection: { user: 'app', pass: 'app' }, stream: { manage: false as const } };

/** Streams that somebody else has made, and the service that may only use them. */
async function start(scene: FaultScene, ledger: Ledger): ReturnType<FaultScene['service']> {
  await scene.service('admin', { connection: RAW });
  const service = await scene.service('user-service', { ...ofService, retry: { attempts: 1, delay: 20 } });
  await service.subscribe('thing', ledger.handler(), { name: 'h' });
  await service.subscribe(
    'broken',
    () => {
      throw new Error('no');
    },
    { name: 'broken' },
  );
  return service;
}

async function works(scene: FaultScene, ledger: Ledger): Promise<void> {
  const service = await start(scene, ledger);
  for (let n = 0; n < 20; n++) await ledger.emit(service, 'thing', `e${n}`);
  await service.emit('broken', 1);
  await scene.settled('user-service__h');
  await scene.settled('user-service__broken');
  await eventually('the dead letter is there', async () => (await scene.deadLetters()).length === 1);
  expect(ledger.lost()).toEqual([]);
  expect(ledger.reruns).toBe(0);
  expect(service.status.problems).toEqual([]);
}

const CASES: [string, string, boolean][] = [
  ['the template of the guide works, acknowledgement subjects of version 1', TEMPLATE, false],
  ['the template of the guide works, acknowledgement subjects of version 2', TEMPLATE, true],
  ['permissions for version 2 alone are enough where the server uses it', without(V1), true],
  ['permissions for version 1 alone are enough where the server uses it', without(V2), false],
];
for (const [title, permissions, version2] of CASES) {
  fault(
    `F50 ${title}`,
    async (scene, server) => {
      await server.reload(config(permissions, scene.clusterId, version2));
      await works(scene, new Ledger());
    },
    { config: config(permissions, 'nobody', version2), raw: RAW },
  );
}

for (const [version, permissions, version2] of [
  ['2', without(V2), true],
  ['1', without(V1), false],
] as const) {
  fault(
    `F76 a service that may not settle what it is given (version ${version}) handles nothing, says so, and goes on when it may`,
    async (scene, server) => {
      await server.reload(config(permissions, scene.clusterId, version2));
      const ledger = new Ledger();
      const service = await start(scene, ledger);
      await scene.ackWait('user-service__h', 1000);
      for (let n = 0; n < 20; n++) await ledger.emit(service, 'thing', `e${n}`);

      const problem = await eventually('it is told', () =>
        service.status.problems.find((each) => /publish to "\$JS\.ACK/.test(each)),
      );
      expect(problem).toContain(`${scene.clusterId}.user-service__h.>`);
      // Version 1 is also asked for at the start.
      expect(scene.log.find('error', /denies .* publish to "\$JS\.ACK.*user-service__h/)).toHaveLength(
        version === '1' ? 2 : 1,
      );
      await eventually(
        'the server delivered again',
        async () => (await scene.consumer('user-service__h')).num_redelivered > 0,
      );
      expect(ledger.handled.size).toBe(0);

      await server.reload(config(TEMPLATE, scene.clusterId, version2));
      await eventually('all are handled', () => ledger.lost().length === 0);
      await scene.settled('user-service__h');
      await eventually('nothing is wrong any more', () => service.status.problems.length === 0);
      expect(ledger.reruns).toBe(0);
      expect(await scene.deadLetters()).toEqual([]);
    },
    { config: config(permissions, 'nobody', version2), raw: RAW },
  );
}
