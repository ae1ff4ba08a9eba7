import {
  AckPolicy,
  DeliverPolicy,
  nanos,
  ReplayPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  type JetStreamManager,
} from 'nats';
import { EventsError } from '../../core/errors';
import { overlap } from '../../core/event-name';
import type { Orphan } from '../../core/dead-letter-store';
import { eventSubject, retryStream, sanitize, type DurableName } from '../../core/names';
import type { SubscriptionSpec } from '../../core/transport';
import { apiErrorCode, CONSUMER_NOT_FOUND, until } from './api';

const CONSUMER_EXISTS = 10148;

/** Milliseconds for which the list of a start-up is taken for what the server has. */
const LIST_LIFETIME = 5000;
const BROADCAST_INACTIVE = 5 * 60 * 1000;

/**
 * Constants, never derived from a handler's options: two versions of a service must be able to start side by side.
 * Deliveries are not limited, because *we* decide when an event is given up: a server that did would strand it.
 */
const SETTINGS = Object.freeze({
  ack_policy: AckPolicy.Explicit,
  max_deliver: -1,
  max_ack_pending: 50_000,
  replay_policy: ReplayPolicy.Instant,
});

/** Settings that we never make; the client takes an update over what is there, and `undefined` out of it. */
const FOREIGN = Object.freeze({
  filter_subject: undefined,
  filter_subjects: undefined,
  backoff: undefined,
  headers_only: undefined,
  inactive_threshold: undefined,
});

/** Where the raw identity is kept beside the sanitised name. */
const META_APP = 'events-app';
const META_HANDLER = 'events-handler';

/**
 * The sequence up to which everything is settled. Until the first acknowledgement, 2.10 says 0, wherever the consumer
 * starts: a lost one that is made again from there would deliver what was stored before it.
 */
export function floorOf({ ack_floor, delivered, config }: ConsumerInfo): number {
  if (ack_floor.stream_seq > 0) return ack_floor.stream_seq;
  if (delivered.consumer_seq === 0) return delivered.stream_seq;
  return (config.opt_start_seq ?? 1) - 1;
}

/** The consumers of one stream: creates what is missing, compares what exists. */
export class Durables {
  readonly #jsm: JetStreamManager;
  readonly #clusterId: string;
  readonly #connectedAt: number;
  readonly #timeout: number;
  readonly #settings: typeof SETTINGS & { readonly ack_wait: number };
  #known: Promise<Map<string, ConsumerInfo>> | undefined;

  /**
   * @param connectedAt the stream's last sequence when this service connected: where `'new'` begins
   * @param ackWait milliseconds
   */
  constructor(
    jsm: JetStreamManager,
    clusterId: string,
    connectedAt: number,
    timeout: number,
    ackWait: number,
  ) {
    this.#jsm = jsm;
    this.#clusterId = clusterId;
    this.#connectedAt = connectedAt;
    this.#timeout = timeout;
    this.#settings = { ...SETTINGS, ack_wait: nanos(ackWait) };
  }

  /**
   * The durable of a handler, created if it is missing.
   * @throws EventsError `duplicate_handler`, `consumer_mismatch`, `permission_denied`, `jetstream_unavailable`
   */
  async ensure(spec: SubscriptionSpec): Promise<ConsumerInfo> {
    return until(this.#timeout, this.#nameOf(spec), async () => {
      const known = await this.#list();
      const found = known.get(spec.durable);
      if (found !== undefined) {
        known.delete(spec.durable); // subscribed once more, it may have changed
        return this.#reconcile(spec, found);
      }
      const config = { durable_name: spec.durable, ...this.#config(spec), ...this.#start(spec.startFrom) };
      try {
        return await this.#jsm.consumers.add(this.#clusterId, config);
      } catch (error) {
        // Another instance created it in this moment, from its own start position.
        if (apiErrorCode(error) !== CONSUMER_EXISTS) throw error;
        return this.#reconcile(spec, await this.#jsm.consumers.info(this.#clusterId, spec.durable));
      }
    });
  }

  /** A consumer of this instance alone, for a broadcast; the server removes it when the instance is gone. */
  async createBroadcast(spec: SubscriptionSpec, name: string, fromSequence?: number): Promise<ConsumerInfo> {
    const start =
      fromSequence === undefined
        ? this.#start(spec.startFrom)
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: fromSequence };
    return until(
      this.#timeout,
      `the broadcast consumer of handler '${spec.handler}' on stream '${this.#clusterId}'`,
      () =>
        this.#jsm.consumers.add(this.#clusterId, {
          name,
          inactive_threshold: nanos(BROADCAST_INACTIVE),
          ...this.#config(spec),
          ...start,
        }),
    );
  }

  /** Creates a lost durable again, from a stream sequence. */
  async recreate(spec: SubscriptionSpec, fromSequence: number): Promise<ConsumerInfo> {
    return until(this.#timeout, this.#nameOf(spec), async () => {
      try {
        return await this.#jsm.consumers.add(this.#clusterId, {
          durable_name: spec.durable,
          ...this.#config(spec),
          deliver_policy: DeliverPolicy.StartSequence,
          opt_start_seq: fromSequence,
        });
      } catch (error) {
        if (apiErrorCode(error) !== CONSUMER_EXISTS) throw error;
        return this.#jsm.consumers.info(this.#clusterId, spec.durable);
      }
    });
  }

  /**
   * The consumer through which dead letters come back to this service, one for all its handlers.
   * @throws EventsError `duplicate_handler` if it belongs to a service of another name
   */
  async ensureRetries(app: string): Promise<ConsumerInfo> {
    const stream = retryStream(this.#clusterId);
    const name = sanitize(app);
    const config = {
      ...this.#settings,
      durable_name: name,
      deliver_policy: DeliverPolicy.All,
      filter_subject: `${stream}.${name}.>`,
      metadata: { [META_APP]: app },
    };
    return until(this.#timeout, `durable '${name}' for redriven events on stream '${stream}'`, async () => {
      const info = await this.#jsm.consumers.add(stream, config).catch((error: unknown) => {
        if (apiErrorCode(error) !== CONSUMER_EXISTS) throw error;
        return this.#jsm.consumers.info(stream, name);
      });
      const owner = info.config.metadata?.[META_APP];
      if (owner === app) return info;
      throw new EventsError(
        'duplicate_handler',
        `the services '${owner}' and '${app}' both have the NATS name '${name}': give one another \`appName\``,
      );
    });
  }

  /** Whether a handler is known by this durable. */
  async exists(durable: DurableName): Promise<boolean> {
    try {
      await this.#jsm.consumers.info(this.#clusterId, durable);
      return true;
    } catch (error) {
      if (apiErrorCode(error) === CONSUMER_NOT_FOUND) return false;
      throw error;
    }
  }

  /** Durables of this service that are not among those given. */
  async orphans(app: string, claimed: ReadonlySet<string>): Promise<Orphan[]> {
    const found: Orphan[] = [];
    for await (const { name, config, num_pending, num_ack_pending, num_waiting } of this.#jsm.consumers.list(
      this.#clusterId,
    )) {
      if (config.metadata?.[META_APP] !== app || config.durable_name === undefined || claimed.has(name))
        continue;
      // Another instance, of another version, has the handler and asks for its events.
      if (num_waiting > 0) continue;
      const handler = config.metadata[META_HANDLER] ?? name;
      found.push({ durable: name, stream: this.#clusterId, handler, backlog: num_pending + num_ack_pending });
    }
    return found;
  }

  async remove(name: string): Promise<void> {
    await this.#jsm.consumers.delete(this.#clusterId, name);
  }

  // One list for all handlers of a start-up: with a thousand of them, asking for each would take seconds.
  #list(): Promise<Map<string, ConsumerInfo>> {
    this.#known ??= (async () => {
      const known = new Map<string, ConsumerInfo>();
      for await (const info of this.#jsm.consumers.list(this.#clusterId)) known.set(info.name, info);
      // Handlers that are subscribed later look again.
      setTimeout(() => (this.#known = undefined), LIST_LIFETIME).unref();
      return known;
    })();
    this.#known.catch(() => (this.#known = undefined));
    return this.#known;
  }

  #config(
    spec: SubscriptionSpec,
    filters: string[] = spec.patterns.map((pattern) => eventSubject(this.#clusterId, pattern)),
  ): Partial<ConsumerConfig> {
    return {
      ...this.#settings,
      // One filter goes into the subject of the API call, where permissions can see it.
      ...(filters.length === 1 ? { filter_subject: filters[0] } : { filter_subjects: filters }),
      metadata: { [META_APP]: spec.app, [META_HANDLER]: spec.handler },
    };
  }

  #nameOf({ durable, handler }: SubscriptionSpec): string {
    return `durable '${durable}' of handler '${handler}' on stream '${this.#clusterId}'`;
  }

  #start(from: SubscriptionSpec['startFrom']): Partial<ConsumerConfig> {
    if (from === 'first') return { deliver_policy: DeliverPolicy.All };
    if (from === 'new')
      return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: this.#connectedAt + 1 };
    return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: from.toISOString() };
  }

  async #reconcile(spec: SubscriptionSpec, info: ConsumerInfo): Promise<ConsumerInfo> {
    const { config } = info;
    const owner = { app: config.metadata?.[META_APP], handler: config.metadata?.[META_HANDLER] };
    if (owner.app !== spec.app || owner.handler !== spec.handler) {
      const whose =
        owner.app === undefined
          ? 'not made by this package'
          : `of '${owner.handler}' in service '${owner.app}'`;
      throw new EventsError(
        'duplicate_handler',
        `durable '${spec.durable}' on stream '${this.#clusterId}' is ${whose}, not of '${spec.handler}' in '${spec.app}'; ` +
          `give this handler another \`name\`, or this service another \`appName\``,
      );
    }
    if (config.ack_policy !== AckPolicy.Explicit || config.deliver_subject !== undefined) {
      throw new EventsError(
        'consumer_mismatch',
        `durable '${spec.durable}' on stream '${this.#clusterId}' was changed by hand: it must be a pull consumer with ` +
          `explicit acknowledgement; delete it (its position is then lost) or restore it`,
      );
    }
    const before = filtersOf(config);
    const own = spec.patterns.map((pattern) => eventSubject(this.#clusterId, pattern));
    // Only ever more: an older version that starts again would otherwise make a newer one miss events for good.
    const others = before.filter((filter) => !own.some((other) => overlap(other, filter)));
    const filters = [...own, ...others];
    const same =
      filters.length === before.length &&
      before.every((filter) => filters.includes(filter)) &&
      config.ack_wait === this.#settings.ack_wait &&
      config.max_deliver === SETTINGS.max_deliver &&
      config.max_ack_pending === SETTINGS.max_ack_pending &&
      (config.backoff ?? []).length === 0 &&
      config.headers_only !== true &&
      (config.inactive_threshold ?? 0) === 0;
    if (same) return info;
    // The handler listens to more events than before, or somebody changed the durable; its position stays.
    return this.#jsm.consumers.update(this.#clusterId, spec.durable, {
      ...FOREIGN,
      ...this.#config(spec, filters),
    });
  }
}

/** The subjects a consumer takes. */
export const filtersOf = ({
  filter_subject: one,
  filter_subjects: many,
}: Partial<ConsumerConfig>): readonly string[] => many ?? (one === undefined ? [] : [one]);
