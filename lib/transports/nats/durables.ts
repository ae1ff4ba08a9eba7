import {
  DeliverPolicy,
  nanos,
  type ConsumerConfig,
  type ConsumerInfo,
  type JetStreamManager,
  type StreamInfo,
} from 'nats';
import { systemClock } from '../../core/clock';
import { EventsError } from '../../core/errors';
import type { EventsLogger } from '../../core/logger';
import { eventNameOf, eventSubject, retryStream, sanitize, type DurableName } from '../../core/names';
import type { Orphan } from '../../core/dead-letter-store';
import type { SubscriptionSpec } from '../../core/transport';
import { apiErrorCode, CONSUMER_NOT_FOUND, until } from './api';
import {
  compareConsumer,
  filtersOf,
  FOREIGN,
  mayHaveSkipped,
  META_APP,
  META_HANDLER,
  META_RECREATED,
  othersOf,
  SETTINGS,
  type ExpectedConsumer,
} from './consumer-config';
import type { NatsTransportOptions } from './options';

const CONSUMER_EXISTS = 10148;

/** Milliseconds for which the list of a start-up is taken for what the server has. */
const LIST_LIFETIME = 5000;
/** Milliseconds within which a delivery shows that somebody works. */
const RECENT = 30_000;
const BROADCAST_INACTIVE = nanos(5 * 60 * 1000);

/** What an instance knows of the consumer it works on. */
export interface KnownConsumer {
  /** When the server created it. */
  readonly created: string;
  /** The sequence up to which everything is settled. */
  readonly floor: number;
  /** Copies that its stream has. */
  readonly replicas: number;
}

/** The result of looking at a consumer while it is used: it is as it should be, or has to be replaced. */
export type ConsumerVerdict =
  | { readonly info: ConsumerInfo }
  | {
      /** The reason. */
      readonly replace: string;
      /** The second best, for who may not replace it. */
      readonly update?: () => Promise<ConsumerInfo>;
    };

/** The consumers of one stream: creates what is missing, compares what exists. */
export class Durables {
  readonly #jsm: JetStreamManager;
  readonly #clusterId: string;
  readonly #connectedAt: number;
  readonly #timeout: number;
  readonly #settings: typeof SETTINGS & { readonly ack_wait: number };
  readonly #logger: EventsLogger;
  /** Copies of the stream. */
  #replicas: number;
  #known: Promise<Map<string, ConsumerInfo>> | undefined;

  /**
   * @param stream of the events, as it was when this service connected: where `'new'` begins
   * @param options `connectTimeout` and `ackWait` in milliseconds
   */
  constructor(
    jsm: JetStreamManager,
    { state, config }: StreamInfo,
    { clusterId, connectTimeout, ackWait, logger }: NatsTransportOptions,
  ) {
    this.#jsm = jsm;
    this.#clusterId = clusterId;
    this.#connectedAt = state.last_seq;
    this.#replicas = config.num_replicas;
    this.#timeout = connectTimeout;
    this.#settings = { ...SETTINGS, ack_wait: nanos(ackWait) };
    this.#logger = logger;
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
        this.#tellOfPosition(spec, found);
        return this.#accept(spec, found);
      }
      const config = { durable_name: spec.durable, ...this.#config(spec), ...this.#start(spec.startFrom) };
      try {
        return await this.#jsm.consumers.add(this.#clusterId, config);
      } catch (error) {
        // Another instance created it in this moment, from its own start position.
        if (apiErrorCode(error) !== CONSUMER_EXISTS) throw error;
        return this.#accept(spec, await this.#jsm.consumers.info(this.#clusterId, spec.durable));
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
          ...this.#broadcastSettings,
          ...this.#config(spec),
          ...start,
        }),
    );
  }

  /**
   * Recreates a lost durable at a stream sequence.
   * @param present the subjects it took when it was last seen: those of other versions belong to it too
   */
  async recreate(
    spec: SubscriptionSpec,
    fromSequence: number,
    present: readonly string[],
  ): Promise<ConsumerInfo> {
    const { metadata, ...config } = this.#config(spec, this.#union(spec, present));
    return until(this.#timeout, this.#nameOf(spec), async () => {
      try {
        return await this.#jsm.consumers.add(this.#clusterId, {
          durable_name: spec.durable,
          ...config,
          metadata: { ...metadata, [META_RECREATED]: new Date().toISOString() },
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
    const config = { durable_name: name, deliver_policy: DeliverPolicy.All, ...this.#retryConfig(app) };
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
    for await (const info of this.#jsm.consumers.list(this.#clusterId)) {
      const { name, config, num_pending, num_ack_pending, num_waiting } = info;
      if (config.metadata?.[META_APP] !== app || config.durable_name === undefined || claimed.has(name))
        continue;
      // Another instance, of another version, has the handler and asks for its events.
      if (num_waiting > 0 || isAtWork(info)) continue;
      const handler = config.metadata[META_HANDLER] ?? name;
      const patterns = filtersOf(config).map((filter) => eventNameOf(this.#clusterId, filter));
      const backlog = num_pending + num_ack_pending;
      found.push({ durable: name, stream: this.#clusterId, handler, patterns, backlog });
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
    filters: readonly string[] = this.#filtersOf(spec),
  ): Partial<ConsumerConfig> {
    return {
      ...this.#settings,
      // One filter goes into the subject of the API call, where permissions can see it.
      ...(filters.length === 1 ? { filter_subject: filters[0] } : { filter_subjects: [...filters] }),
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

  /** Of what a start finds: puts right what an update can. */
  async #accept(spec: SubscriptionSpec, info: ConsumerInfo): Promise<ConsumerInfo> {
    const { config } = info;
    const { owner, broken, dropping, changed, missing } = compareConsumer(config, this.#expected(spec));
    if (owner !== undefined) throw this.#notOurs(spec, owner);
    if (broken.length > 0) {
      throw new EventsError(
        'consumer_mismatch',
        `durable '${spec.durable}' on stream '${this.#clusterId}' was changed by hand (${broken.join('; ')}): it must be a pull ` +
          `consumer with explicit acknowledgement; delete it (its position is then lost) or restore it`,
      );
    }
    const present = filtersOf(config);
    const filters = this.#union(spec, present).filter((filter) => !this.#isRemoved(spec, filter));
    const same =
      dropping.length + changed.length + missing.length === 0 &&
      filters.length === present.length &&
      config.ack_wait === this.#settings.ack_wait;
    // The handler listens to other events than before, or somebody changed the durable; its position stays.
    return same ? info : this.#update(spec.durable, this.#config(spec, filters));
  }

  /**
   * Of a consumer that is used: puts right what an update can.
   * @throws EventsError `duplicate_handler`, `consumer_mismatch`; what the server answers
   */
  async examine(spec: SubscriptionSpec, info: ConsumerInfo, known: KnownConsumer): Promise<ConsumerVerdict> {
    this.#replicas = known.replicas;
    const expected = this.#expected(spec);
    const { missing } = compareConsumer(info.config, expected);
    const filters = this.#union(spec, filtersOf(info.config));
    const config = spec.broadcast
      ? { ...this.#config(spec), ...this.#broadcastSettings }
      : this.#config(spec, filters);
    const update = (): Promise<ConsumerInfo> => this.#update(info.name, config);
    if (info.created !== known.created && mayHaveSkipped(info.config, known.floor)) {
      return { replace: `its consumer was deleted and recreated at another position` };
    }
    const verdict = await this.#examine(info, expected, update, (owner) => this.#notOurs(spec, owner));
    if ('replace' in verdict || missing.length === 0) return verdict;
    // It has passed over the events of these names since they were taken from it.
    return {
      replace: `its consumer does not take ${missing.map((each) => `'${each}'`).join(', ')} any more`,
      update,
    };
  }

  /** As `examine`, of the consumer of a service's redelivered dead letters. */
  examineRetries(app: string, info: ConsumerInfo): Promise<ConsumerVerdict> {
    const expected = {
      app,
      handler: undefined,
      filters: [this.#retryFilter(app)],
      inactiveThreshold: 0,
      replicas: 0,
    };
    const update = (): Promise<ConsumerInfo> =>
      this.#jsm.consumers.update(retryStream(this.#clusterId), info.name, {
        ...FOREIGN,
        ...this.#retryConfig(app),
      });
    return this.#examine(info, expected, update, (owner) => retriesNotOurs(app, info.name, owner));
  }

  async #examine(
    info: ConsumerInfo,
    expected: ExpectedConsumer,
    update: () => Promise<ConsumerInfo>,
    notOurs: (owner: string) => EventsError,
  ): Promise<ConsumerVerdict> {
    const { owner, unowned, broken, dropping, changed } = compareConsumer(info.config, expected);
    if (broken.length > 0) return { replace: `its consumer was changed: ${broken.join('; ')}` };
    if (unowned) return { replace: 'its consumer was deleted and another one made in its place' };
    if (owner !== undefined) throw notOurs(owner);
    if (dropping.length > 0) return { replace: `its consumer was changed: ${dropping.join('; ')}`, update };
    if (changed.length === 0) return { info };
    this.#logger.warn(`consumer '${info.name}' was changed (${changed.join('; ')}): it is put right`);
    const updated = await update();
    const left = compareConsumer(updated.config, expected).changed;
    if (left.length === 0) return { info: updated };
    throw new EventsError(
      'consumer_mismatch',
      `its consumer cannot be put right by an update: ${left.join('; ')}`,
    );
  }

  #update(name: string, config: Partial<ConsumerConfig>): Promise<ConsumerInfo> {
    return this.#jsm.consumers.update(this.#clusterId, name, { ...FOREIGN, ...config });
  }

  #expected(spec: SubscriptionSpec): ExpectedConsumer {
    return {
      app: spec.app,
      handler: spec.handler,
      filters: this.#filtersOf(spec),
      inactiveThreshold: spec.broadcast ? BROADCAST_INACTIVE : 0,
      replicas: this.#replicas,
    };
  }

  #filtersOf({ patterns }: SubscriptionSpec): string[] {
    return patterns.map((pattern) => eventSubject(this.#clusterId, pattern));
  }

  /** Only ever more: an older version that starts again would otherwise make a newer one miss events for good. */
  #union(spec: SubscriptionSpec, present: readonly string[]): string[] {
    const own = this.#filtersOf(spec);
    const inCluster = present.filter((filter) => filter.startsWith(`${this.#clusterId}.`));
    return [...own, ...othersOf(own, inCluster)];
  }

  #isRemoved({ removed = [] }: SubscriptionSpec, filter: string): boolean {
    return removed.some((name) => eventSubject(this.#clusterId, name) === filter);
  }

  #retryFilter(app: string): string {
    return `${retryStream(this.#clusterId)}.${sanitize(app)}.>`;
  }

  #retryConfig(app: string): Partial<ConsumerConfig> {
    return { ...this.#settings, filter_subject: this.#retryFilter(app), metadata: { [META_APP]: app } };
  }

  #notOurs(spec: SubscriptionSpec, owner: string): EventsError {
    return new EventsError(
      'duplicate_handler',
      `durable '${spec.durable}' on stream '${this.#clusterId}' is ${owner}, not of '${spec.handler}' in '${spec.app}'; ` +
        `give this handler another \`name\`, or this service another \`appName\``,
    );
  }

  /** A server keeps one copy of a consumer that is not durable, unless it is told how many. */
  get #broadcastSettings(): Partial<ConsumerConfig> {
    return {
      inactive_threshold: BROADCAST_INACTIVE,
      ...(this.#replicas > 1 && { num_replicas: this.#replicas }),
    };
  }

  /** A position is given up by nobody but people. */
  #tellOfPosition({ durable, startFrom }: SubscriptionSpec, { config, created }: ConsumerInfo): void {
    if (startFrom === 'new') return;
    const wanted = this.#start(startFrom);
    const asked =
      config.deliver_policy === wanted.deliver_policy &&
      (wanted.opt_start_time === undefined || sameMoment(wanted.opt_start_time, config.opt_start_time));
    if (asked) return;
    const from = startFrom === 'first' ? "'first'" : startFrom.toISOString();
    this.#logger.warn(
      `durable '${durable}' exists since ${created} and goes on at its position: \`startFrom: ${from}\` is for the creation of a ` +
        `durable only. To replay, stop the service, run \`nats consumer rm ${this.#clusterId} ${durable}\` and start it again`,
    );
  }
}

/** Whether an instance that has all the events it asked for works on some of them. */
function isAtWork({ num_ack_pending, delivered }: ConsumerInfo): boolean {
  const { last_active } = delivered as { last_active?: unknown };
  return (
    num_ack_pending > 0 &&
    typeof last_active === 'string' &&
    systemClock.now() - Date.parse(last_active) < RECENT
  );
}

const sameMoment = (one: string, other = ''): boolean => Date.parse(one) === Date.parse(other);

const retriesNotOurs = (app: string, name: string, owner: string): EventsError =>
  new EventsError(
    'duplicate_handler',
    `the consumer '${name}' of redelivered dead letters is ${owner}, not of service '${app}': give one of them another \`appName\``,
  );
