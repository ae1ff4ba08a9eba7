import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { eventually, Ledger } from '../support/fault-ledger';
import { FaultScene, scenario } from '../support/fault-scene';
import { freePort, NatsCluster, NatsServer } from '../support/nats-server';

let cluster: NatsCluster;
let leaf: NatsServer;

scenario(
  "F72 a broadcast handler goes on while the node with its consumer's leader is down",
  async (scene) => {
    const ledger = new Ledger();
    const service = await scene.service('app', {
      publishTimeout: 60_000,
      connectTimeout: 30_000,
      stream: { replicas: 3 },
    });
    await service.subscribe('thing', ledger.handler(), { name: 'h', broadcast: true });
    await ledger.emit(service, 'thing', 'before');
    await eventually('it is handled', () => ledger.lost().length === 0);

    const { consumers } = await scene.jsm();
    const [consumer] = await consumers.list(scene.clusterId).next();
    expect(consumer?.config.num_replicas).toBe(3);
    const leader = cluster.servers.find(({ name }) => name === consumer?.cluster?.leader);
    await leader?.kill();
    const killed = Date.now();
    await ledger.emit(service, 'thing', 'after');
    await eventually('it is handled', () => ledger.lost().length === 0);
    expect(Date.now() - killed).toBeLessThan(30_000);
  },
  async () => {
    cluster = await NatsCluster.start();
    const scene = new FaultScene(cluster.urls);
    scene.atEnd(() => cluster.stop());
    return scene;
  },
);

scenario(
  'F43 a service at a leaf node with a domain of its own does not create a second stream',
  async (scene) => {
    const hubService = await scene.service('hub');
    await hubService.emit('thing', 1);
    await expect(scene.service('leaf', { url: leaf.url })).rejects.toMatchObject({
      code: 'stream_mismatch',
      message: expect.stringMatching(
        /stream '.*' of another JetStream takes this cluster's subjects already/,
      ) as string,
    });
  },
  async () => {
    const [port, folder] = [await freePort(), await mkdtemp(path.join(os.tmpdir(), 'events-leaf-'))];
    const domain = (name: string): string =>
      `jetstream { domain: ${name}, store_dir: ${JSON.stringify(path.join(folder, name))}, max_file_store: 1GB, max_memory_store: 64MB }`;
    const started = (name: string, leafnodes: string): Promise<NatsServer> =>
      NatsServer.start({ jetstream: false, config: `${domain(name)}\nleafnodes { ${leafnodes} }` });
    const hub = await started('hub', `listen: "127.0.0.1:${port}"`);
    leaf = await started('leaf', `remotes: [{ url: "nats://127.0.0.1:${port}" }]`);
    await eventually('the leaf node is connected', async () => {
      const state = await hub.monitor<{ leafnodes: number }>('/leafz');
      return (state?.leafnodes ?? 0) > 0;
    });
    const scene = new FaultScene(hub.url);
    scene.atEnd(() => rm(folder, { recursive: true, force: true }));
    scene.atEnd(() => hub.stop());
    scene.atEnd(() => leaf.stop());
    return scene;
  },
);
