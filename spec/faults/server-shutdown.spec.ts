import { Gate } from '../../lib/testing/conformance/gate';
import { eventually, Ledger } from '../support/fault-ledger';
import { fault } from '../support/fault-scene';

/** Milliseconds beyond `shutdownTimeout` for what is said to the server at the end. */
const CEILING = 5000;

fault('F25 a server that stands still holds up no shutdown', async (scene, server) => {
  const gate = new Gate();
  const ledger = new Ledger();
  const service = await scene.service('app', { shutdownTimeout: 1000 });
  const run = ledger.handler(() => gate.opened);
  await service.subscribe('thing', run, { name: 'durable' });
  await service.subscribe('thing', run, { name: 'broadcast', broadcast: true });
  await service.subscribe('thing', run, { name: 'ephemeral', delivery: 'ephemeral' });
  await ledger.emit(service, 'thing', 'e');
  await eventually('all three run', () => ledger.runs.get('e')?.length === 3);

  server.pause();
  const since = Date.now();
  await service.drain();
  expect(Date.now() - since).toBeGreaterThanOrEqual(1000);
  expect(Date.now() - since).toBeLessThan(1000 + CEILING);
  server.resume();
  gate.open();
});

for (const end of ['drain', 'unsubscribe'] as const) {
  fault(`F25 what was finished in an outage is settled after it, also by ${end}()`, async (scene, server) => {
    const gate = new Gate();
    const ledger = new Ledger();
    const service = await scene.service('app', { shutdownTimeout: 60_000 });
    const work = ledger.handler((_data, { id }) => (id === 'slow' ? gate.opened : undefined));
    const subscription = await service.subscribe('thing', work, { name: 'h', concurrency: 1 });
    await ledger.emit(service, 'thing', 'slow');
    await ledger.emit(service, 'thing', 'buffered');
    await eventually('one runs, one waits', async () => {
      return ledger.runs.has('slow') && (await scene.consumer('app__h')).num_ack_pending === 2;
    });
    await server.kill();
    await eventually('the outage is seen', () => !service.status.connected);
    gate.open();
    const ended = end === 'drain' ? service.drain() : subscription.unsubscribe();
    await eventually('it has finished', () => ledger.handled.has('slow'));
    await server.restart();
    await ended;

    // The other one was handed back: nobody waits for the server to miss it.
    await eventually('the server knows', async () => {
      const { num_ack_pending, ack_floor } = await scene.consumer('app__h');
      return ack_floor.stream_seq === 1 && num_ack_pending <= 1;
    });
    const successor = await scene.service('app');
    await successor.subscribe('thing', ledger.handler(), { name: 'h' });
    await eventually('it is handled', () => ledger.handled.has('buffered'));
    await scene.settled('app__h');
    expect(ledger.runs.get('slow')).toHaveLength(1);
    expect(scene.log.find('warn', /delivered again/)).toEqual([]);
  });
}

fault('F25 a subscription that ends in an outage leaves nothing behind', async (scene, server) => {
  const gate = new Gate();
  const ledger = new Ledger();
  const service = await scene.service('app', { shutdownTimeout: 500 });
  const subjects = async (): Promise<string[]> => {
    const answer = await server.monitor<Connections>('/connz?subs=1');
    const own = answer?.connections.find(({ name }) => name === 'app');
    return (own?.subscriptions_list ?? []).sort();
  };
  const before = await subjects();
  expect(before.length).toBeGreaterThan(0);
  const run = ledger.handler(() => gate.opened);
  const subscriptions = [
    await service.subscribe('thing', run, { name: 'durable' }),
    await service.subscribe('thing', run, { name: 'ephemeral', delivery: 'ephemeral' }),
  ];
  await ledger.emit(service, 'thing', 'e');
  await eventually('both run', () => ledger.runs.get('e')?.length === 2);
  expect((await subjects()).length).toBeGreaterThan(before.length);

  await server.kill();
  await eventually('the outage is seen', () => !service.status.connected);
  gate.open();
  await eventually('they have finished', () => ledger.handled.has('e'));
  const since = Date.now();
  await Promise.all(subscriptions.map((subscription) => subscription.unsubscribe()));
  expect(Date.now() - since).toBeGreaterThanOrEqual(490);
  expect(Date.now() - since).toBeLessThan(500 + CEILING);
  expect(scene.log.find('warn', /1 events of 'app__durable' .* delivered again/)).toHaveLength(1);

  await server.restart();
  await eventually('it is connected again', () => service.status.connected);
  await ledger.emit(service, 'thing', 'after');
  expect(await subjects()).toEqual(before);
  expect(ledger.runs.has('after')).toBe(false);
  expect(service.status.problems).toEqual([]);
});

interface Connections {
  readonly connections: readonly { readonly name?: string; readonly subscriptions_list?: string[] }[];
}
