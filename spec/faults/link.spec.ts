import { eventually, Ledger } from '../support/fault-ledger';
import { Relay } from '../support/fault-relay';
import { fault, type FaultScene } from '../support/fault-scene';
import type { NatsServer } from '../support/nats-server';

const relayTo = async (scene: FaultScene, server: NatsServer): Promise<Relay> => {
  const relay = await Relay.to(server.port);
  scene.atEnd(() => relay.stop());
  return relay;
};

describe.each([
  ['a few small events', 10, 100],
  ['more than the buffers of a socket hold', 2000, 5000],
])('F54 a half-open connection with %s', (_what, count, size) => {
  fault('is left within 15 s, without a second copy of anything', async (scene, server) => {
    const relay = await relayTo(scene, server);
    const service = await scene.service('app', { url: relay.url, publishTimeout: 30_000 });
    await service.emit('thing', {});
    const before = process.memoryUsage().arrayBuffers;
    relay.stall();
    const since = performance.now();
    const pad = 'x'.repeat(size);
    const emits = Array.from({ length: count }, () => service.emit('thing', { pad }));
    const problem = await eventually('it is told', () => service.status.problems[0], 10_000);
    expect(problem).toMatch(/NATS has not answered for \d+ s, \d{4,} bytes wait for confirmation/);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(3 * count * size + 4e6);
    const receipts = await Promise.all(emits);
    expect(performance.now() - since).toBeLessThan(15_000);
    expect(relay.accepted).toBe(2);
    expect(receipts.filter(({ duplicate }) => duplicate)).toEqual([]);
    expect((await scene.stream()).state.messages).toBe(count + 1);
    expect(service.status).toMatchObject({ connected: true, problems: [] });
  });
});

fault('F54 a link that carries nothing up any more is left, whatever comes down', async (scene, server) => {
  const relay = await relayTo(scene, server);
  const ledger = new Ledger();
  const service = await scene.service('app', { url: relay.url });
  await service.subscribe('thing', ledger.handler(), { name: 'h' });
  const other = await scene.service('other');
  relay.lose('up');
  const load = ledger.load(other, 'thing', 20);
  await eventually('it is left', () => relay.accepted > 1, 20_000);
  await load.stop();
  await eventually('all are handled', () => ledger.lost().length === 0);
});

fault(
  'F54 a link that loses what goes up is left within 15 s while core events come down',
  async (scene, server) => {
    const relay = await relayTo(scene, server);
    const ledger = new Ledger();
    const service = await scene.service('app', { url: relay.url, delivery: 'ephemeral' });
    await service.subscribe('thing', ledger.handler(), { name: 'h' });
    const other = await scene.service('other');
    const load = ledger.load(other, 'thing', 20);
    await eventually('events come down', () => ledger.handled.size > 5);
    relay.lose('up');
    await eventually('it is left', () => relay.accepted > 1, 15_000);
    await load.stop();
  },
);

fault('F54 a connection that was taken and never answers is left as well', async (scene, server) => {
  const relay = await relayTo(scene, server);
  const service = await scene.service('app', { url: relay.url });
  await service.emit('thing', {});
  relay.delay = 60_000;
  relay.cut();
  await eventually('it dials', () => relay.accepted > 1);
  relay.delay = 0;
  await eventually('it is connected again', () => service.status.connected, 10_000);
  await eventually('the silent ones are closed', () => relay.connections === 1, 10_000);
});

describe('F55 a slow link', () => {
  fault('carries small events at its rate, each once', async (scene, server) => {
    const relay = await relayTo(scene, server);
    const service = await scene.service('app', { url: relay.url, publishTimeout: 60_000 });
    Object.assign(relay, { rate: 50_000, latency: 100 });
    const pad = 'x'.repeat(4700);
    const since = performance.now();
    // 200 KB: four seconds, longer than a try lasts.
    await Promise.all(Array.from({ length: 40 }, () => service.emit('thing', { pad })));
    expect(performance.now() - since).toBeLessThan(8000);
    expect(relay.accepted).toBe(1);
    expect(service.status.connected).toBe(true);
  });

  fault('carries a large event, which is not cut off for ever', async (scene, server) => {
    const relay = await relayTo(scene, server);
    const service = await scene.service('app', { url: relay.url, publishTimeout: 60_000 });
    Object.assign(relay, { rate: 25_000, latency: 100 });
    // Ten seconds, in which nothing comes back: longer than a silent connection is kept.
    const { duplicate } = await service.emit('thing', { pad: 'x'.repeat(250_000) });
    expect(duplicate).toBe(false);
    expect(relay.accepted).toBeLessThan(4);
  });

  fault('delivers many small core events, which are a sign of life as well', async (scene, server) => {
    const relay = await relayTo(scene, server);
    const ledger = new Ledger();
    const service = await scene.service('app', { url: relay.url, delivery: 'ephemeral' });
    await service.subscribe('thing', ledger.handler(), { name: 'h' });
    const other = await scene.service('other');
    Object.assign(relay, { rate: 40_000, latency: 100 });
    const pad = 'x'.repeat(1000);
    // Twelve seconds at least.
    await Promise.all(Array.from({ length: 400 }, () => other.emit('thing', { pad })));
    await eventually('all are handled', () => ledger.handled.size === 400, 30_000);
    expect(relay.accepted).toBe(1);
  });

  fault('delivers large events, whose bytes are a sign of life', async (scene, server) => {
    const relay = await relayTo(scene, server);
    const ledger = new Ledger();
    const emitter = await scene.service('emitter');
    const pad = 'x'.repeat(100_000);
    for (let i = 0; i < 6; i++) await emitter.emit('thing', { pad });
    Object.assign(relay, { rate: 50_000, latency: 100 });
    const service = await scene.service('app', { url: relay.url });
    await service.subscribe('thing', ledger.handler(), { name: 'h', startFrom: 'first' });
    await eventually('all are handled', () => ledger.handled.size === 6, 30_000);
    expect(relay.accepted).toBe(1);
    await scene.settled('app__h');
    expect([...ledger.runs.values()].every((runs) => runs.length === 1)).toBe(true);
  });
});

fault(
  'F55 a link that passes bytes one by one, and breaks in the middle of a message',
  async (scene, server) => {
    const relay = await relayTo(scene, server);
    const ledger = new Ledger();
    const service = await scene.service('app', { url: relay.url });
    await service.subscribe('thing', ledger.handler(), { name: 'h' });
    relay.piece = 1;
    relay.cutsMidway = true;
    relay.cutsAt = (sent) => relay.cuts === 0 && sent.includes('ce-id: third');
    for (const id of ['first', 'second', 'third', 'fourth']) await ledger.emit(service, 'thing', id);
    expect([...ledger.refused]).toEqual([]);
    await eventually('all are handled', () => ledger.lost().length === 0);
    expect(relay.cuts).toBe(1);
    expect((await scene.stream()).state.messages).toBe(4);
  },
);
