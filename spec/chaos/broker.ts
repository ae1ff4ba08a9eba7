import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type NatsConnection } from 'nats';
import { Relay } from '../support/fault-relay';
import { NatsCluster, NatsServer } from '../support/nats-server';
import type { ServerFault } from './plan';

/** The server side of a chaos run. */
export interface Broker {
  /** For the services. */
  readonly urls: readonly string[];
  /** For the harness: no fault but the server's own reaches them. */
  readonly directUrls: readonly string[];
  /** Resolves when the fault is over. @returns false when it was left out, because an earlier one is not over */
  perform(fault: ServerFault): Promise<boolean>;
  stop(): Promise<void>;
}

export const startBroker = (nodes: number, stream: string): Promise<Broker> =>
  nodes === 1 ? SingleNode.start() : ThreeNodes.start(stream);

class SingleNode implements Broker {
  private constructor(private readonly server: NatsServer) {}

  static async start(): Promise<SingleNode> {
    return new SingleNode(await NatsServer.start());
  }

  get urls(): readonly string[] {
    return [this.server.url];
  }

  get directUrls(): readonly string[] {
    return this.urls;
  }

  async perform({ down }: ServerFault): Promise<boolean> {
    await this.server.kill();
    await sleep(down);
    await this.server.restart();
    return true;
  }

  stop(): Promise<void> {
    return this.server.stop();
  }
}

/** Milliseconds in which the nodes of a cluster must have caught up with one another. */
const IN_STEP_MS = 30_000;
/** Milliseconds between two steps of a leader that is asked to step down. */
const STEP_MS = 300;
/** Milliseconds that everything is on its way on a slow link, and bytes a second, each way. */
const SLOW = { latency: 150, rate: 100_000 };

interface ApiAnswer {
  readonly cluster?: {
    readonly leader?: string;
    readonly replicas?: readonly {
      readonly current: boolean;
      readonly offline?: boolean;
      readonly lag?: number;
    }[];
  };
  readonly consumers?: readonly string[];
}

/** Three nodes, each behind a relay of its own. */
class ThreeNodes implements Broker {
  private constructor(
    private readonly stream: string,
    private readonly cluster: NatsCluster,
    private readonly relays: readonly Relay[],
    private readonly connection: NatsConnection,
  ) {}

  static async start(stream: string): Promise<ThreeNodes> {
    // Nodes that are not announced: clients stay on the relays.
    const cluster = await NatsCluster.start(3, { advertise: false });
    const relays = await Promise.all(cluster.servers.map(({ port }) => Relay.to(port)));
    const connection = await connect({
      servers: cluster.urls,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 200,
      ignoreClusterUpdates: true,
    });
    return new ThreeNodes(stream, cluster, relays, connection);
  }

  get urls(): readonly string[] {
    return this.relays.map(({ url }) => url);
  }

  get directUrls(): readonly string[] {
    return this.cluster.urls;
  }

  async perform(fault: ServerFault): Promise<boolean> {
    if (!(await this.#inStep())) return false;
    await this.#perform(fault);
    return true;
  }

  async #perform({ target, which, down }: ServerFault): Promise<void> {
    const { servers } = this.cluster;
    const index = Math.floor(which * servers.length);
    switch (target) {
      case 'server': {
        const leader = await this.#leader();
        await leader.kill();
        await sleep(down);
        return leader.restart();
      }
      case 'followers': {
        const leader = await this.#leader();
        const followers = servers.filter((server) => server !== leader);
        await Promise.all(followers.map((server) => server.kill()));
        await sleep(down);
        await Promise.all(followers.map((server) => server.restart()));
        return;
      }
      case 'stall': {
        const server = servers[index] as NatsServer;
        server.pause();
        await sleep(down);
        return server.resume();
      }
      case 'step-down':
        for (let i = 0; i < 3; i++) {
          await this.#request(`$JS.API.STREAM.LEADER.STEPDOWN.${this.stream}`);
          for (const consumer of await this.#consumers()) {
            await this.#request(`$JS.API.CONSUMER.LEADER.STEPDOWN.${this.stream}.${consumer}`);
          }
          await sleep(STEP_MS);
        }
        return;
      case 'cut':
        for (const relay of this.relays) relay.cut();
        return;
      case 'slow': {
        const relay = this.relays[index] as Relay;
        relay.slow(SLOW);
        await sleep(down);
        return relay.slow(undefined);
      }
    }
  }

  async stop(): Promise<void> {
    await this.connection.close();
    await Promise.all(this.relays.map((relay) => relay.stop()));
    await this.cluster.stop();
  }

  /**
   * Waits until each node has what the others have. Three replicas survive one fault at a time: a node that is killed
   * may lose what it has not written to its disk yet, and gets it from the others.
   */
  async #inStep(): Promise<boolean> {
    const deadline = Date.now() + IN_STEP_MS;
    const streams = [this.stream, `${this.stream}-dlq`, `${this.stream}-retry`];
    for (;;) {
      const infos = await Promise.all(streams.map((name) => this.#request(`$JS.API.STREAM.INFO.${name}`)));
      const inStep = infos.every(
        (info) =>
          info?.cluster?.replicas?.length === 2 &&
          info.cluster.replicas.every(({ current, offline, lag = 0 }) => current && !offline && lag === 0),
      );
      if (inStep) return true;
      if (Date.now() > deadline) return false;
      await sleep(STEP_MS);
    }
  }

  /** The leader of the stream; another node while there is none. */
  async #leader(): Promise<NatsServer> {
    const info = await this.#request(`$JS.API.STREAM.INFO.${this.stream}`);
    const { servers } = this.cluster;
    return servers.find(({ name }) => name === info?.cluster?.leader) ?? (servers[0] as NatsServer);
  }

  async #consumers(): Promise<readonly string[]> {
    return (await this.#request(`$JS.API.CONSUMER.NAMES.${this.stream}`))?.consumers ?? [];
  }

  /** Undefined while nobody answers: elections are part of the run. */
  async #request(subject: string): Promise<ApiAnswer | undefined> {
    return this.connection.request(subject, '', { timeout: 1000 }).then(
      (answer) => answer.json(),
      () => undefined,
    );
  }
}
