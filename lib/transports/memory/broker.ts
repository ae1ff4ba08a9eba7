import type { SubscriptionSpec } from '../../core/transport';
import { MemoryCluster } from './cluster';
import type { StoredDeadLetter } from './dead-letter-stream';
import type { StoredEvent } from './event-stream';

/** A broker inside the process: several clusters, each with the streams a server would have for it. */
export class MemoryBroker {
  readonly #clusters = new Map<string, MemoryCluster>();

  /** What is stored of a cluster's events, oldest first. */
  events(clusterId: string): readonly StoredEvent[] {
    return this.#clusters.get(clusterId)?.events() ?? [];
  }

  /** The dead letters of a cluster, oldest first. */
  deadLetters(clusterId: string): readonly StoredDeadLetter[] {
    return this.#clusters.get(clusterId)?.deadLetters() ?? [];
  }

  /** The subscriptions, of all its clusters, that handle something at this moment, or are about to; retries that wait do not count. */
  busy(): SubscriptionSpec[] {
    return [...this.#clusters.values()].flatMap((cluster) => cluster.busy());
  }

  /** For transports. */
  cluster(id: string): MemoryCluster {
    let cluster = this.#clusters.get(id);
    if (cluster === undefined) this.#clusters.set(id, (cluster = new MemoryCluster(id)));
    return cluster;
  }

  /** Cancels what waits for a moment; nobody uses the broker any more. What is stored can still be read. */
  discard(): void {
    for (const cluster of this.#clusters.values()) cluster.discard();
  }
}
