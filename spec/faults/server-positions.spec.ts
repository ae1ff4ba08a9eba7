import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { Gate } from '../../lib/testing/conformance/gate';
import { eventually, Ledger, sleep } from '../support/fault-ledger';
import { fault } from '../support/fault-scene';
import { Relay } from '../support/fault-relay';

fault('F21 a deleted consumer is told, and made again where it was', async (scene) => {
  const service = await scene.service('app');
  const ledger = new Ledger();
  for (const id of ['old-1', 'old-2']) await ledger.emit(service, 'thing', id);
  const late = await scene.service('late');
  await late.subscribe('thing', ledger.handler(), { name: 'h' });
  const load = ledger.load(service, 'thing', 5);
  await eventually('100 are handled', () => ledger.handled.size > 100);

  const { consumers } = await scene.jsm();
  await consumers.delete(scene.clusterId, 'late__h');
  const deleted = Date.now();
  await eventually('the alarm', () => scene.log.find('error', /'late__h'.*consumer was deleted/)[0]);
  expect(Date.now() - deleted).toBeLessThan(5000);
  const before = ledger.acknowledged.size;
  await eventually('100 more are stored', () => ledger.acknowledged.size > before + 100);
  await load.stop();
  await eventually('all since are handled', () => ledger.lost().length === 2);
  expect(ledger.lost()).toEqual(['old-1', 'old-2']); // from before it was there
  await scene.settled('late__h');
  expect(late.status.problems).toEqual([]);
});

fault('F21 a deleted stream is told and made again, and all of its handlers go on', async (scene) => {
  const service = await scene.service('app', { publishTimeout: 60_000 });
  const [first, second, busy, emitted] = [new Ledger(), new Ledger(), new Ledger(), new Ledger()];
  await service.subscribe('thing', first.handler(), { name: 'first' });
  await service.subscribe('thing', second.handler(), { name: 'second' });
  // This one has all that it asked for, hence no request at the server that would tell it.
  let goOn = (): void => {};
  const gate = new Promise<void>((resolve) => (goOn = resolve));
  const hold = busy.handler((_data, { id }) => (id === 'before-40' ? gate : undefined));
  await service.subscribe('thing', hold, { name: 'busy', concurrency: 1 });
  await Promise.all(Array.from({ length: 700 }, (_, n) => emitted.emit(service, 'thing', `before-${n}`)));
  const { streams } = await scene.jsm();
  await eventually('two are done, one is full', async () => {
    const { ack_floor, num_waiting } = await scene.consumer('app__busy');
    return (
      first.handled.size + second.handled.size === 1400 && num_waiting === 0 && ack_floor.stream_seq === 40
    );
  });
  // Its position is looked at once a second.
  await sleep(2500);

  await streams.delete(scene.clusterId);
  const deleted = Date.now();
  await eventually('the alarm', () => scene.log.find('error', /was deleted at the server/)[0]);
  expect(Date.now() - deleted).toBeLessThan(5000);
  // Fewer than there were: a handler that keeps its old position, or settles by old numbers, misses them.
  for (let n = 0; n < 20; n++) await emitted.emit(service, 'thing', `after-${n}`);
  await sleep(6000);
  goOn();
  const missed = ({ handled }: Ledger): string[] =>
    [...emitted.acknowledged.keys()].filter((id) => id.startsWith('after') && !handled.has(id));
  await eventually('every handler has the new events', () =>
    [first, second, busy].every((ledger) => missed(ledger).length === 0),
  );
  for (const name of ['first', 'second', 'busy']) await scene.settled(`app__${name}`);
  await eventually('nothing is wrong any more', () => service.status.problems.length === 0);
  expect([...emitted.refused.values()]).toEqual([]);
});

fault('F29 a stream that lost its tail is told', async (scene, server) => {
  const service = await scene.service('app');
  const ledger = new Ledger();
  await service.subscribe('thing', ledger.handler(), { name: 'h' });
  const emit = async (prefix: string, count: number): Promise<void> => {
    for (let n = 0; n < count; n++) await ledger.emit(service, 'thing', `${prefix}-${n}`);
    await eventually('all are handled', () => ledger.lost().length === 0);
    await scene.settled('app__h');
  };
  await emit('kept', 20);
  const stream = path.join(server.storeDir, 'jetstream', '$G', 'streams', scene.clusterId);
  const backup = path.join(server.storeDir, 'backup');
  await server.kill('SIGTERM');
  await cp(path.join(stream, 'msgs'), backup, { recursive: true });
  await server.restart();
  await eventually('it is connected again', () => service.status.connected);
  await emit('lost', 60);

  await server.kill('SIGTERM');
  await rm(path.join(stream, 'msgs'), { recursive: true });
  await cp(backup, path.join(stream, 'msgs'), { recursive: true });
  await server.restart();
  await eventually('it is connected again', () => service.status.connected);
  const { ack_floor } = await scene.consumer('app__h');
  if (ack_floor.stream_seq > 20) {
    const problem = await eventually('it is told', () =>
      service.status.problems.find((each) => each.includes('lost its tail')),
    );
    expect(problem).toMatch(/position \(80\).*\(20\)/);
    expect(scene.log.find('error', /lost its tail/)).toHaveLength(1);
  } else {
    // Newer servers set the consumer back themselves: then events flow.
    await emit('after', 20);
    expect(service.status.problems).toEqual([]);
  }
});

fault('F29 nothing is said of a stream that only moves fast', async (scene) => {
  const service = await scene.service('app');
  const ledger = new Ledger();
  await service.subscribe('thing', ledger.handler(), { name: 'h' });
  const load = ledger.load(service, 'thing', 2);
  const problems = new Set<string>();
  const until = Date.now() + 6000;
  await eventually('it has been watched for long enough', () => {
    for (const problem of service.status.problems) problems.add(problem);
    return Date.now() > until;
  });
  await load.stop();
  await eventually('all are handled', () => ledger.lost().length === 0);
  expect([...problems]).toEqual([]);
  expect(scene.log.find('error', /./)).toEqual([]);
});

fault(
  'F21 what was settled of a stream that is made anew settles nothing in the new one',
  async (scene, server) => {
    const relay = await Relay.to(server.port);
    scene.atEnd(() => relay.stop());
    const [before, after] = [new Gate(), new Gate()];
    const [first, second] = [new Ledger(), new Ledger()];
    const away = await scene.service('app', { url: relay.url });
    const handler = { name: 'h', concurrency: 1 };
    await away.subscribe(
      'thing',
      first.handler(() => before.opened),
      handler,
    );
    await first.emit(away, 'thing', 'old');
    await eventually('it runs', () => first.runs.has('old'));

    relay.open = false;
    relay.cut();
    await eventually('the outage is seen', () => !away.status.connected);
    before.open();
    await eventually('it has finished, and the server does not know', () => first.handled.has('old'));
    const { streams } = await scene.jsm();
    await streams.delete(scene.clusterId);
    // Makes the stream and the durable again; the first event in it has the place of the old one.
    const here = await scene.service('app', { retry: { delay: 50, jitter: 0 } });
    const fails = second.handler(async (_data, { attempt, id }) => {
      if (id !== 'new' || attempt > 1) return;
      await after.opened;
      throw new Error('not yet');
    });
    await here.subscribe('thing', fails, handler);
    await second.emit(here, 'thing', 'new');
    expect(second.acknowledged.get('new')?.sequence).toBe(first.acknowledged.get('old')?.sequence);
    await eventually('it runs', () => second.runs.has('new'));

    relay.open = true;
    await eventually('it is connected again', () => away.status.connected);
    // What it takes now, it asked for after it had sent what was left to send.
    for (let n = 0; n < 10; n++) await second.emit(here, 'thing', `next-${n}`);
    await eventually('the other instance takes events again', () => first.handled.size > 1);
    expect((await scene.consumer('app__h')).ack_floor.stream_seq).toBe(0);
    after.open();
    // By either of them.
    await eventually('it is tried again', () => [first, second].some(({ handled }) => handled.has('new')));
    await scene.settled('app__h');
  },
);
