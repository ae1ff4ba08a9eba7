import { systemClock, type Clock } from '../../core/clock';
import type { DeadLetterStore, Orphan } from '../../core/dead-letter-store';
import { EventsError } from '../../core/errors';
import type { EventsLogger } from '../../core/logger';
import type {
  Consumer,
  DeliveryMode,
  EventTransport,
  OutboundMessage,
  PublishReceipt,
  SubscriptionSpec,
  TransportStatus,
  TransportSubscription,
} from '../../core/transport';
import type { MemoryBroker } from './broker';
import type { MemoryCluster } from './cluster';
import { MemoryDeadLetterStore } from './memory-dead-letter-store';
import { acquireBroker, type Lease } from './registry';
import { resolveStreamOptions, type MemoryStreamOptions, type StreamLimits } from './stream-options';
import type { MemorySubscription } from './subscription';
import type { Host } from './work';

export interface MemoryTransportOptions {
  /** Services with one cluster id, at one broker, share events. */
  readonly clusterId: string;
  /** The broker of `memory://<name>`, shared by the applications of this process. Default: a private one. */
  readonly name?: string;
  /** How `publish` behaves: `durable` stores, `ephemeral` reaches whoever listens (and a stream, where there is one). */
  readonly delivery: DeliveryMode;
  readonly stream?: MemoryStreamOptions;
  readonly logger: EventsLogger;
  /** Default: the system's. */
  readonly clock?: Clock;
}

/** Bytes of the largest payload kept free, so that whatever was accepted can also be dead-lettered. */
const DEAD_LETTER_RESERVE = 4096;

interface Connection {
  readonly lease: Lease;
  readonly cluster: MemoryCluster;
  /** The stream's last sequence when this application connected: where `'new'` begins. */
  readonly last: number;
}

/** Events inside one process, with the semantics of JetStream. */
export class MemoryTransport implements EventTransport {
  readonly #options: MemoryTransportOptions;
  readonly #limits: StreamLimits;
  readonly #host: Host;
  readonly #subscriptions = new Set<MemorySubscription>();
  readonly #onStopped = (stopped: MemorySubscription): void => {
    this.#connection?.cluster.leave(stopped);
    this.#subscriptions.delete(stopped);
  };
  readonly #store: DeadLetterStore;
  /** The service, as its subscriptions name it. */
  readonly #apps = new Set<string>();
  #connection: Connection | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: MemoryTransportOptions) {
    this.#options = { ...options };
    this.#limits = resolveStreamOptions(options.stream);
    this.#host = {
      clock: options.clock ?? systemClock,
      logger: options.logger,
    };
    this.#store = new MemoryDeadLetterStore(
      () => this.#connected('look after dead letters').cluster,
      this.#host,
    );
  }

  /** For tests and inspection; readable from `connect()` on, after `close()` too. */
  get broker(): MemoryBroker {
    if (this.#connection === undefined) throw notConnected('look at its broker');
    return this.#connection.lease.broker;
  }

  async connect(): Promise<void> {
    this.#assertOpen('connect');
    if (this.#connection !== undefined) return;
    const { name, clusterId } = this.#options;
    const lease = acquireBroker(name);
    const cluster = lease.broker.cluster(clusterId);
    if (this.#options.delivery === 'durable') cluster.ensureStreams(this.#limits);
    this.#connection = { lease, cluster, last: cluster.last };
    this.#options.logger.log(
      `connected to ${name === undefined ? 'a memory broker of its own' : `the memory broker '${name}'`}, cluster '${clusterId}'`,
    );
  }

  /**
   * @throws EventsError `payload_too_large` when headers and body exceed the largest payload less 4096 bytes, `closed`,
   * `disconnected` before `connect()`
   */
  async publish(outbound: OutboundMessage): Promise<PublishReceipt> {
    const { cluster } = this.#connected('publish', outbound.name);
    const message = cluster.accept(outbound, this.#host);
    const allowed = this.#limits.maxPayload - DEAD_LETTER_RESERVE;
    if (message.bytes > allowed) {
      throw new EventsError(
        'payload_too_large',
        `'${outbound.name}' has ${message.bytes} bytes with its headers, ${allowed} are allowed ` +
          `(${this.#limits.maxPayload} less ${DEAD_LETTER_RESERVE} for the headers of a dead letter)`,
      );
    }
    const stored = cluster.publish(message, outbound.messageId, this.#host);
    const { room } = cluster;
    if (room !== undefined) await room;
    if (stored === undefined || this.#options.delivery === 'ephemeral') return { duplicate: false };
    return { ...stored, stream: cluster.id };
  }

  /** @throws EventsError `duplicate_handler` when the durable belongs to another handler, `closed`, `disconnected` */
  subscribe(spec: SubscriptionSpec, consumer: Consumer): TransportSubscription {
    const { cluster, last } = this.#connected('subscribe', spec.handler);
    const subscription = cluster.subscribe(spec, consumer, this.#host, this.#limits, last, this.#onStopped);
    this.#subscriptions.add(subscription);
    this.#apps.add(spec.app);
    return subscription;
  }

  status(): TransportStatus {
    const connected = this.#connection !== undefined && this.#closed === undefined;
    const recent = this.#connection?.cluster.deadLetterStream?.recent;
    return {
      connected,
      problems: [
        ...(recent?.problems(this.#host.clock.monotonic()) ?? []),
        ...[...this.#subscriptions].flatMap(({ source }) => source.problems()),
      ],
    };
  }

  /** Absent before `connect()`, and where no application has made the streams. */
  get deadLetters(): DeadLetterStore | undefined {
    return this.#connection?.cluster.deadLetterStream && this.#store;
  }

  /** Durables of the service that no instance subscribes. */
  async orphans(): Promise<Orphan[]> {
    return this.#connected('look for orphans').cluster.orphans(this.#apps);
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.stop(0)));
    this.#subscriptions.clear();
    this.#connection?.lease.release();
  }

  /** @param doing what for, and `what` of it: joined only where it is told */
  #connected(doing: string, what?: string): Connection {
    if (this.#connection !== undefined && this.#closed === undefined) return this.#connection;
    const intent = what === undefined ? doing : `${doing} '${what}'`;
    this.#assertOpen(intent);
    throw notConnected(intent);
  }

  #assertOpen(intent: string): void {
    if (this.#closed === undefined) return;
    throw new EventsError('closed', `cannot ${intent}: the memory transport is closed`);
  }
}

const notConnected = (intent: string): EventsError =>
  new EventsError('disconnected', `cannot ${intent}: connect the memory transport first`);

/** @throws EventsConfigurationError when a number in `stream` is wrong */
export const createMemoryTransport = (options: MemoryTransportOptions): MemoryTransport =>
  new MemoryTransport(options);
