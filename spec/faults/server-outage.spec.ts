import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { eventually, Ledger, sleep } from '../support/fault-ledger';
import { Relay } from '../support/fault-relay';
import { fault } from '../support/fault-scene';

const OPEN = { publishTimeout: 60_000 };

fault('F01 a server killed under load loses nothing acknowledged', async (scene, server) => {
  const ledger = new Ledger();
  const service = await scene.service('app', { ...OPEN, concurrency: 50 });
  await service.subscribe(
    'thing',
    ledger.handler(() => sleep(5)),
    { name: 'h' },
  );
  await scene.ackWait('app__h', 2000);
  const load = ledger.load(service, 'thing', 3);
  await eventually('200 are stored', () => ledger.acknowledged.size > 200);

  await server.kill();
  await sleep(500);
  await server.restart();
  const [up, before] = [Date.now(), ledger.acknowledged.size];
  await eventually('emits are acknowledged again', () => ledger.acknowledged.size > before);
  expect(Date.now() - up).toBeLessThan(10_000);

  await eventually('200 more are stored', () => ledger.acknowledged.size > before + 200);
  await load.stop();
  await eventually('all are handled', () => ledger.lost().length === 0);
  expect([...ledger.refused.values()]).toEqual([]);
  expect(ledger.reruns).toBeLessThanOrEqual(50 + 500); // running and buffered
  await scene.settled('app__h');
  expect(await scene.deadLetters()).toEqual([]);
});

fault(
  'F02 a server that forgot an acknowledgement delivers again, with a lower count',
  async (scene, server) => {
    const ledger = new Ledger();
    const service = await scene.service('app', { retry: { delay: 50, jitter: 0 } });
    let openFirst = (): void => {};
    const first = new Promise<void>((resolve) => (openFirst = resolve));
    const work = ledger.handler(async (_data, { attempt }) => {
      if (attempt === 1) await first;
      if (attempt < 3) throw new Error('not yet');
    });
    await service.subscribe('thing', work, { name: 'h' });
    await scene.ackWait('app__h', 2000);
    await ledger.emit(service, 'thing', 'e');
    await eventually('it runs', () => ledger.runs.has('e'));
    const consumers = path.join(server.storeDir, 'jetstream', '$G', 'streams', scene.clusterId, 'obs');
    await server.kill('SIGTERM');
    await cp(consumers, `${consumers}-old`, { recursive: true });
    await server.restart();
    openFirst();
    await eventually('it is handled', () => ledger.handled.has('e'));
    await scene.settled('app__h');

    await server.kill();
    await rm(consumers, { recursive: true });
    await cp(`${consumers}-old`, consumers, { recursive: true });
    const runs = ledger.runs.get('e')!;
    const seen = runs.length;
    await server.restart();
    const again = await eventually('it runs again', () => runs[seen]);
    expect(again.attempt).toBeLessThanOrEqual(3);
    await scene.settled('app__h');
    expect(await scene.deadLetters()).toEqual([]);
    expect(ledger.lost()).toEqual([]);
  },
);

fault('F03 durable: an emit while disconnected waits, then rejects or is stored', async (scene, server) => {
  const ledger = new Ledger();
  const impatient = await scene.service('impatient', { publishTimeout: 1500 });
  const patient = await scene.service('patient', OPEN);
  await ledger.emit(impatient, 'thing', 'before');
  await server.kill();
  await eventually('the outage is seen', () => !impatient.status.connected && !patient.status.connected);

  const waiting = Promise.all([1, 2, 3].map((n) => ledger.emit(patient, 'thing', `patient-${n}`)));
  const since = Date.now();
  await Promise.all(Array.from({ length: 20 }, (_, n) => ledger.emit(impatient, 'thing', `impatient-${n}`)));
  expect(Date.now() - since).toBeGreaterThanOrEqual(1400);
  expect(Date.now() - since).toBeLessThan(10_000);
  expect(ledger.refused.size).toBe(20);
  for (const error of ledger.refused.values())
    expect(error).toMatchObject({ code: 'publish_unconfirmed', retryable: true });

  await server.restart();
  await waiting;
  expect([...ledger.acknowledged.keys()]).toEqual(['before', 'patient-1', 'patient-2', 'patient-3']);
  expect((await scene.stream()).state.messages).toBe(4);
});

fault('F03 ephemeral: an emit while disconnected rejects', async (scene, server) => {
  const ledger = new Ledger();
  const service = await scene.service('app', { delivery: 'ephemeral', publishTimeout: 1500 });
  await service.subscribe('thing', ledger.handler(), { name: 'h' });
  await server.kill();
  // Some before the client has seen it, most after.
  await Promise.all(Array.from({ length: 20 }, (_, n) => ledger.emit(service, 'thing', `first-${n}`)));
  await eventually('the outage is seen', () => !service.status.connected);
  await Promise.all(Array.from({ length: 20 }, (_, n) => ledger.emit(service, 'thing', `then-${n}`)));
  expect(ledger.acknowledged.size).toBe(0);
  expect(ledger.refused.size).toBe(40);
  for (const error of ledger.refused.values()) expect(error).toMatchObject({ code: 'disconnected' });

  await server.restart();
  await eventually('it is connected again', () => service.status.connected);
  await ledger.emit(service, 'thing', 'after');
  await eventually('it is handled', () => ledger.handled.has('after'));
});

fault('F05 an outage of 25 s is survived', async (scene, server) => {
  const ledger = new Ledger();
  const service = await scene.service('app', { publishTimeout: 2000 });
  let finish = (): void => {};
  const gate = new Promise<void>((resolve) => (finish = resolve));
  const wait = ledger.handler((_data, { id }) => (id === 'running' ? gate : undefined));
  await service.subscribe('thing', wait, { name: 'h' });
  await ledger.emit(service, 'thing', 'running');
  await eventually('it runs', () => ledger.runs.has('running'));
  await server.kill();
  const load = ledger.load(service, 'thing', 100);
  await eventually('the outage is seen', () => !service.status.connected);
  finish();
  await sleep(25_000);
  expect(ledger.acknowledged.size).toBe(1);
  await server.restart();
  const up = Date.now();
  await eventually('it is connected again', () => service.status.connected);
  expect(Date.now() - up).toBeLessThan(10_000);
  await eventually('emits are acknowledged', () => ledger.acknowledged.size > 10);
  await load.stop();
  await eventually('all are handled', () => ledger.lost().length === 0);
  expect(service.status.problems).toEqual([]);
  // What was finished in the outage is settled after it, and not run again.
  await scene.settled('app__h');
  expect(ledger.runs.get('running')).toHaveLength(1);
  for (const error of ledger.refused.values()) expect(error).toMatchObject({ code: 'publish_unconfirmed' });
});

fault('F06 a server that stands still for 10 s loses and doubles nothing', async (scene, server) => {
  const ledger = new Ledger();
  const service = await scene.service('app', OPEN);
  await service.subscribe('thing', ledger.handler(), { name: 'h' });
  const load = ledger.load(service, 'thing', 20);
  await eventually('50 are stored', () => ledger.acknowledged.size > 50);
  server.pause();
  await sleep(10_000);
  const before = ledger.acknowledged.size;
  server.resume();
  const resumed = Date.now();
  await eventually('emits are acknowledged again', () => ledger.acknowledged.size > before);
  expect(Date.now() - resumed).toBeLessThan(10_000);
  await load.stop();

  await eventually('all are handled', () => ledger.lost().length === 0);
  expect([...ledger.refused.values()]).toEqual([]);
  expect((await scene.stream()).state.messages).toBe(ledger.acknowledged.size);
  expect([...ledger.acknowledged.values()].filter(({ duplicate }) => duplicate)).toEqual([]);
});

fault(
  'F05 a connection that came at the last moment reconnects as patiently as any',
  async (scene, server) => {
    const relay = await Relay.to(server.port);
    scene.atEnd(() => relay.stop());
    relay.open = false;
    setTimeout(() => (relay.open = true), 5600);
    const service = await scene.service('app', { url: relay.url, connectTimeout: 8000 });
    // Longer than what was left of those 8 s.
    relay.delay = 3000;
    relay.cut();
    await eventually('the outage is seen', () => !service.status.connected);
    await eventually('it is connected again', () => service.status.connected, 20_000);
  },
);
