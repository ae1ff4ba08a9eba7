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
import { eventSubject } from '../../core/names';
import type { SubscriptionSpec } from '../../core/transport';
import { apiErrorCode, until } from './api';

const CONSUMER_NOT_FOUND = 10014;
const CONSUMER_EXISTS = 10148;

/** Milliseconds after which the server delivers an unsettled event again. */
export const ACK_WAIT = 30_000;
const BROADCAST_INACTIVE = 5 * 60 * 1000;

/**
 * Constants, never derived from a handler's options: two versions of a service must be able to start side by side.
 * Deliveries are not limited, because *we* decide when an event is given up: a server that did would strand it.
 */
const SETTINGS = Object.freeze({
  ack_policy: AckPolicy.Explicit,
  ack_wait: nanos(ACK_WAIT),
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

/** The consumers of one stream: creates what is missing, compares what exists. */
export class Durables {
  readonly #jsm: JetStreamManager;
  readonly #clusterId: string;
  readonly #connectedAt: number;
  readonly #timeout: number;
  #known: Promise<Map<string, ConsumerInfo>> | undefined;

  /** @param connectedAt the stream's last sequence when this service connected: where `'new'` begins */
  constructor(jsm: JetStreamManager, clusterId: string, connectedAt: number, timeout: number) {
    this.#jsm = jsm;
    this.#clusterId = clusterId;
    this.#connectedAt = connectedAt;
    this.#timeout = timeout;
  }

  /**
   * The durable of a handler, created if it is missing.
   * @throws EventsError `duplicate_handler`, `consumer_mismatch`, `permission_denied`, `jetstream_unavailable`
   */
  async ensure(spec: SubscriptionSpec): Promise<ConsumerInfo> {
    return until(this.#timeout, `durable '${spec.durable}'`, async () => {
      const known = await this.#list();
      const found = known.get(spec.durable);
      if (found !== undefined) {
        known.delete(spec.durable); // fresh at start-up only
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
    return until(this.#timeout, `broadcast consumer of '${spec.durable}'`, () =>
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
    return until(this.#timeout, `durable '${spec.durable}'`, async () => {
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

  /** What the server knows of a consumer; `undefined` if it is gone. */
  async find(name: string): Promise<ConsumerInfo | undefined> {
    try {
      return await this.#jsm.consumers.info(this.#clusterId, name);
    } catch (error) {
      if (apiErrorCode(error) === CONSUMER_NOT_FOUND) return undefined;
      throw error;
    }
  }

  async remove(name: string): Promise<void> {
    await this.#jsm.consumers.delete(this.#clusterId, name);
  }

  // One list for all handlers of a start-up: with a thousand of them, asking for each would take seconds.
  #list(): Promise<Map<string, ConsumerInfo>> {
    this.#known ??= (async () => {
      const known = new Map<string, ConsumerInfo>();
      for await (const info of this.#jsm.consumers.list(this.#clusterId)) known.set(info.name, info);
      return known;
    })();
    this.#known.catch(() => (this.#known = undefined));
    return this.#known;
  }

  /** Forgets the list made at start-up, so that later subscriptions look again. */
  forgetList(): void {
    this.#known = undefined;
  }

  #config(spec: SubscriptionSpec): Partial<ConsumerConfig> {
    const filters = spec.patterns.map((pattern) => eventSubject(this.#clusterId, pattern));
    return {
      ...SETTINGS,
      // One filter goes into the subject of the API call, where permissions can see it.
      ...(filters.length === 1 ? { filter_subject: filters[0] } : { filter_subjects: filters }),
      metadata: { [META_APP]: spec.app, [META_HANDLER]: spec.handler },
    };
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
    const wanted = this.#config(spec);
    const filters = (c: Partial<ConsumerConfig>): string =>
      JSON.stringify(
        [...(c.filter_subjects ?? (c.filter_subject === undefined ? [] : [c.filter_subject]))].sort(),
      );
    const same =
      filters(config) === filters(wanted) &&
      config.ack_wait === SETTINGS.ack_wait &&
      config.max_deliver === SETTINGS.max_deliver &&
      config.max_ack_pending === SETTINGS.max_ack_pending &&
      (config.backoff ?? []).length === 0 &&
      config.headers_only !== true &&
      (config.inactive_threshold ?? 0) === 0;
    if (same) return info;
    // The handler listens to other events than before, or somebody changed the durable; its position stays.
    return this.#jsm.consumers.update(this.#clusterId, spec.durable, {
      ...FOREIGN,
      ...wanted,
    });
  }
}
