import { eventually, Ledger, sleep } from '../support/fault-ledger';
import { FaultScene, scenario } from '../support/fault-scene';
import { NatsCluster, type NatsServer } from '../support/nats-server';

const OPEN = { publishTimeout: 60_000, connectTimeout: 30_000, stream: { replicas: 3 } };

/** A fault on three servers of its own. One after the other: six servers are many for two cores. */
let before: Promise<unknown> = Promise.resolve();
function clusterFault(title: string, run: (scene: FaultScene, cluster: NatsCluster) => Promise<void>): void {
  let cluster: NatsCluster;
  scenario(
    title,
    (scene) => run(scene, cluster),
    async () => {
      const turn = before;
      let done = (): void => {};
      before = new Promise<void>((resolve) => (done = resolve));
      await turn;
      cluster = await NatsCluster.start();
      const scene = new FaultScene(cluster.urls);
      scene.atEnd(() => cluster.stop().finally(done));
      return scene;
    },
  );
}

const named = (cluster: NatsCluster, name: string | undefined): NatsServer | undefined =>
  cluster.servers.find((server) => server.name === name);

clusterFault(
  'F07 the leader of the stream is killed and nothing acknowledged is lost',
  async (scene, cluster) => {
    const ledger = new Ledger();
    const service = await scene.service('app', OPEN);
    await service.subscribe('thing', ledger.handler(), { name: 'h' });
    await scene.ackWait('app__h', 2000);
    const load = ledger.load(service, 'thing', 5);
    await eventually('200 are stored', () => ledger.acknowledged.size > 200);

    const leader = await eventually('the stream has a leader', async () =>
      named(cluster, (await scene.stream()).cluster?.leader),
    );
    await leader.kill();
    const emitted = ledger.acknowledged.size;
    await eventually('400 more are stored', () => ledger.acknowledged.size > emitted + 400);
    await load.stop();

    expect([...ledger.refused.values()]).toEqual([]);
    await eventually('all are handled', () => ledger.lost().length === 0);
    await scene.settled('app__h');
    expect(await scene.deadLetters()).toEqual([]);
    const sequences = new Set([...ledger.acknowledged.values()].map(({ sequence }) => sequence));
    expect(sequences.size).toBe(ledger.acknowledged.size);
  },
);

clusterFault('F08 the leader of the consumer is killed and consumption resumes', async (scene, cluster) => {
  const ledger = new Ledger();
  const service = await scene.service('app', OPEN);
  await service.subscribe('thing', ledger.handler(), { name: 'h' });
  await ledger.emit(service, 'thing', 'first');
  await eventually('it is handled', () => ledger.handled.has('first'));

  // On another server than the one the service is connected to, which would tell it at once.
  const connections = async (server: NatsServer): Promise<number> =>
    (await server.monitor<{ connections: { name?: string }[] }>('/connz'))?.connections.filter(
      ({ name }) => name === 'app',
    ).length ?? 1;
  const leader = await eventually('the consumer is led elsewhere', async () => {
    const server = named(cluster, (await scene.consumer('app__h')).cluster?.leader);
    if (server !== undefined && (await connections(server)) === 0) return server;
    (await scene.raw()).publish(`$JS.API.CONSUMER.LEADER.STEPDOWN.${scene.clusterId}.app__h`);
    await sleep(500);
    return undefined;
  });

  await leader.kill();
  const killed = Date.now();
  await ledger.emit(service, 'thing', 'second');
  await eventually('it is handled', () => ledger.handled.has('second'));
  expect(Date.now() - killed).toBeLessThan(30_000);
  await scene.settled('app__h');
  expect(ledger.lost()).toEqual([]);
});
