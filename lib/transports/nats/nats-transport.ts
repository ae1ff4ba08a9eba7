import { createInbox, type ConsumerInfo, type JetStreamManager } from 'nats';
import type { DeadLetterStore, Orphan } from '../../core/dead-letter-store';
import { EventsError } from '../../core/errors';
import { deadLetterStream, eventNameOf, eventSubject, sanitize } from '../../core/names';
import type {
  Consumer,
  EventTransport,
  OutboundMessage,
  PublishReceipt,
  SubscriptionSpec,
  TransportStatus,
  TransportSubscription,
} from '../../core/transport';
import { jetStreamManager, until } from './api';
import { NatsLink } from './connection';
import { CoreSubscription } from './core-subscription';
import { CrashGuard } from './crash-guard';
import { DeadLetters } from './dead-letters';
import { Durables, filtersOf } from './durables';
import { HandlerSlots } from './handler-slots';
import { HandlerSource } from './handler-source';
import { NatsDeadLetterStore } from './nats-dead-letter-store';
import { asMsgHdrs, encodeHeaders } from './header-block';
import type { NatsTransportOptions } from './options';
import { DRAIN_LIMIT, pause } from './pause';
import { StreamPublisher } from './publisher';
import type { PullSource } from './pull-source';
import { PullSubscription } from './pull-subscription';
import { RetrySource, type BoundHandler } from './retry-source';
import { provisionStreams } from './streams';
import { Watch } from './watch';

/** Kept free of every payload, so that what was accepted can also be dead-lettered, with its failure in the headers. */
const RESERVE = 4096;
const TICK = 1000;
const REDRIVES_AT_ONCE = 10;

interface JetStream {
  readonly jsm: JetStreamManager;
  /** When each stream was created: what tells it from one that was made in its place. */
  readonly streamsCreated: ReadonlyMap<string, string>;
  readonly durables: Durables;
  readonly deadLetters: DeadLetters;
  readonly crashGuard: CrashGuard;
}

/** Events over NATS: JetStream for what is durable, core NATS for what is ephemeral. */
export class NatsTransport implements EventTransport {
  readonly #options: NatsTransportOptions;
  readonly #link: NatsLink;
  readonly #inboxPrefix: string;
  readonly #subscriptions = new Set<PullSubscription | CoreSubscription>();
  #publisher: StreamPublisher | undefined;
  #jetStream: Promise<JetStream> | undefined;
  #deadLettersOfOthers: DeadLetters | undefined;
  #store: NatsDeadLetterStore | undefined;
  /** The handlers that something can be redriven to, by durable. */
  readonly #handlers = new Map<string, BoundHandler>();
  #retries: PullSubscription | undefined;
  #retriesReady: Promise<void> | undefined;
  #watch: Watch | undefined;
  #flush: Promise<void> | undefined;
  #ticker: NodeJS.Timeout | undefined;
  #tickedAt = Date.now();
  #closed = false;

  constructor(options: NatsTransportOptions) {
    this.#options = options;
    this.#link = new NatsLink(options);
    this.#inboxPrefix = `_INBOX.${sanitize(options.app)}`;
  }

  async connect(): Promise<void> {
    await this.#link.connect();
    try {
      this.#publisher = new StreamPublisher(this.#link, this.#inboxPrefix);
      this.#ticker = setInterval(() => this.#tick(), TICK);
      if (this.#options.delivery === 'durable') await this.#durable();
      else await this.#lookForDeadLetterStream();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async publish(message: OutboundMessage): Promise<PublishReceipt> {
    if (this.#closed)
      throw new EventsError('closed', `cannot publish '${message.name}': the transport is closed`);
    const durable = this.#options.delivery === 'durable';
    const header = encodeHeaders({ ...message.headers, 'Nats-Msg-Id': message.messageId });
    const limit = this.#maxPayload - RESERVE;
    const size = header.length + message.body.length;
    if (size > limit) {
      throw new EventsError(
        'payload_too_large',
        `'${message.name}' has ${size} bytes with its headers, ${limit} are allowed (the server's max_payload less ` +
          `${RESERVE} for a dead letter's headers); store the bulk elsewhere and emit a reference`,
      );
    }
    const subject = eventSubject(this.#options.clusterId, message.name);
    if (!durable) return this.#publishEphemeral(subject, header, message.body);
    const { clusterId: stream, publishTimeout: timeout } = this.#options;
    const ack = await this.#publisherOf().publish({ subject, header, body: message.body, stream, timeout });
    // A duplicate after a re-try is our own earlier try.
    return { duplicate: ack.duplicate && ack.tries === 1, stream: ack.stream, sequence: ack.sequence };
  }

  async subscribe(spec: SubscriptionSpec, consumer: Consumer): Promise<TransportSubscription> {
    if (this.#closed)
      throw new EventsError('closed', `cannot subscribe '${spec.handler}': the transport is closed`);
    const slots = new HandlerSlots(spec.concurrency);
    const subscription =
      spec.delivery === 'durable'
        ? await this.#pull(spec, consumer, slots)
        : await this.#core(spec, consumer);
    this.#subscriptions.add(subscription);
    if (spec.delivery === 'durable' && !spec.broadcast)
      this.#handlers.set(spec.durable, { spec, consumer, slots });
    return {
      start: () => {
        subscription.start();
        this.#retries?.start();
      },
      limit: (concurrency) => {
        slots.limit(concurrency);
        subscription.limit(concurrency);
      },
      stop: async (timeout) => {
        slots.close();
        this.#handlers.delete(spec.durable);
        await Promise.all([
          subscription.stop(timeout),
          ...(this.#handlers.size === 0 ? [this.#stopRetries(timeout)] : []),
        ]);
        this.#subscriptions.delete(subscription);
      },
    };
  }

  get deadLetters(): DeadLetterStore | undefined {
    return this.#store;
  }

  async orphans(): Promise<Orphan[]> {
    if (this.#jetStream === undefined) return [];
    const { durables } = await this.#jetStream;
    return durables.orphans(this.#options.app, new Set(this.#handlers.keys()));
  }

  status(): TransportStatus {
    return {
      connected: this.#link.connected,
      problems: [
        ...(this.#link.problem === undefined ? [] : [this.#link.problem]),
        ...this.#link.refusals.sentences.map((what) => `the server denies this service to ${what}`),
        ...(this.#watch?.problems ?? []),
        ...[...this.#subscriptions, ...(this.#retries === undefined ? [] : [this.#retries])].flatMap(
          ({ problem }) => (problem === undefined ? [] : [problem]),
        ),
      ],
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([...this.#subscriptions, ...this.#pulls()].map((subscription) => subscription.stop(0)));
    clearInterval(this.#ticker);
    const jetStream = await Promise.race([this.#jetStream?.catch(() => undefined), pause(DRAIN_LIMIT)]);
    if (this.#link.connected) await Promise.race([jetStream?.crashGuard.release(), pause(DRAIN_LIMIT)]);
    this.#publisher?.close();
    await this.#link.close();
  }

  /** Streams and consumers, made sure of when something durable first needs them. */
  #durable(): Promise<JetStream> {
    this.#jetStream ??= (async () => {
      const jsm = await this.#manager();
      const streams = await provisionStreams(jsm, this.#options);
      const { clusterId, connectTimeout: timeout, publishTimeout, ackWait, logger } = this.#options;
      const publisher = this.#publisherOf();
      const durables = new Durables(jsm, clusterId, streams[0].state.last_seq, timeout, ackWait);
      const inboxPrefix = this.#inboxPrefix;
      this.#store = new NatsDeadLetterStore({
        link: this.#link,
        jsm,
        publisher,
        durables,
        clusterId,
        inboxPrefix,
        timeout,
      });
      this.#watch = new Watch(jsm, clusterId, () => this.#pulls());
      return {
        jsm,
        streamsCreated: new Map(streams.map(({ config, created }) => [config.name, created])),
        durables,
        deadLetters: this.#deadLetters(),
        crashGuard: new CrashGuard(publisher, jsm, clusterId, publishTimeout, logger),
      };
    })();
    this.#jetStream.catch(() => (this.#jetStream = undefined));
    return this.#jetStream;
  }

  async #pull(spec: SubscriptionSpec, consumer: Consumer, slots: HandlerSlots): Promise<PullSubscription> {
    const jetStream = await this.#durable();
    const { durables } = jetStream;
    const { clusterId } = this.#options;
    const info = spec.broadcast
      ? await durables.createBroadcast(spec, `${spec.durable}__${createInbox().split('.').at(-1)}`)
      : await durables.ensure(spec);
    this.#tellOfForeignFilters(spec, info);
    const subscription = this.#subscribe(
      jetStream,
      new HandlerSource(clusterId, spec, info, consumer, slots, jetStream),
    );
    try {
      await this.#assertPermitted(subscription.subjects);
      if (!spec.broadcast) await this.#ensureRetries(jetStream);
    } catch (error) {
      await subscription.stop(0);
      throw error;
    }
    return subscription;
  }

  /** The durable is never narrowed without being told; whoever removed an event from a handler has to know. */
  #tellOfForeignFilters(spec: SubscriptionSpec, { config }: ConsumerInfo): void {
    const { clusterId, logger } = this.#options;
    const foreign = filtersOf(config)
      .map((filter) => eventNameOf(clusterId, filter))
      .filter((name) => !spec.patterns.includes(name));
    if (foreign.length === 0) return;
    logger.warn(
      `durable '${spec.durable}' also takes ${foreign.map((name) => `'${name}'`).join(', ')}, which '${spec.handler}' of ` +
        'this version does not handle: such events go to instances that do, and become dead letters (no_handler) after ten ' +
        'minutes. If no version handles them any more, narrow it: ' +
        `nats consumer edit ${clusterId} ${spec.durable} ${spec.patterns.map((pattern) => `--filter ${eventSubject(clusterId, pattern)}`).join(' ')}`,
    );
  }

  #ensureRetries(jetStream: JetStream): Promise<void> {
    this.#retriesReady ??= this.#prepareRetries(jetStream);
    this.#retriesReady.catch(() => (this.#retriesReady = undefined));
    return this.#retriesReady;
  }

  /** One consumer for all that is redriven to this service. */
  async #prepareRetries(jetStream: JetStream): Promise<void> {
    const { app, clusterId } = this.#options;
    const recreate = (): Promise<ConsumerInfo> => jetStream.durables.ensureRetries(app);
    const parts = {
      ...jetStream,
      clusterId,
      handlers: this.#handlers,
      concurrency: REDRIVES_AT_ONCE,
      recreate,
    };
    this.#retries = this.#subscribe(jetStream, new RetrySource(parts, await recreate()));
  }

  /** With the last handler, what was redriven to this service has nowhere to go; the next one begins anew. */
  async #stopRetries(timeout: number): Promise<void> {
    const retries = this.#retries;
    await retries?.stop(timeout);
    if (retries === undefined || this.#retries !== retries) return;
    this.#retries = undefined;
    this.#retriesReady = undefined;
    if (this.#handlers.size === 0 || this.#jetStream === undefined) return;
    // A handler that came meanwhile found the one that was stopping.
    await this.#ensureRetries(await this.#jetStream);
    (this.#retries as PullSubscription | undefined)?.start();
  }

  #subscribe({ jsm, streamsCreated }: JetStream, source: PullSource): PullSubscription {
    const provision = (): Promise<unknown> => provisionStreams(jsm, this.#options);
    const { ackWait, logger } = this.#options;
    return new PullSubscription(
      {
        link: this.#link,
        jsm,
        streamCreated: streamsCreated.get(source.stream) ?? '',
        inboxPrefix: this.#inboxPrefix,
        ackWait,
        logger,
        provision,
      },
      source,
    );
  }

  #pulls(): PullSubscription[] {
    const pulls = [...this.#subscriptions].filter((each) => each instanceof PullSubscription);
    return this.#retries === undefined ? pulls : [...pulls, this.#retries];
  }

  async #core(spec: SubscriptionSpec, consumer: Consumer): Promise<CoreSubscription> {
    const deadLetters =
      this.#jetStream === undefined ? this.#deadLettersOfOthers : (await this.#jetStream).deadLetters;
    const { clusterId, connectTimeout, logger } = this.#options;
    const subscription = new CoreSubscription(
      { link: this.#link, deadLetters, clusterId, logger },
      spec,
      consumer,
    );
    try {
      // The subscription holds at the server from here on; a refusal of it has arrived.
      await until(connectTimeout, `handler '${spec.handler}'`, () => this.#link.flush(connectTimeout));
      if (subscription.problem !== undefined) {
        throw new EventsError(
          'permission_denied',
          `cannot subscribe '${spec.handler}': ${subscription.problem}`,
        );
      }
    } catch (error) {
      // Left in its group, it would be given events that nobody handles.
      await subscription.stop(0);
      throw error;
    }
    return subscription;
  }

  /** Sends to each subject what the server answers with an error and otherwise ignores, and looks for refusals. */
  async #assertPermitted(subjects: readonly string[]): Promise<void> {
    const { connectTimeout } = this.#options;
    const permitted = await Promise.all(
      subjects.map((subject) =>
        until(connectTimeout, `publishing to '${subject}'`, () =>
          this.#link.permitsPublish(subject, connectTimeout),
        ),
      ),
    );
    const denied = subjects[permitted.indexOf(false)];
    if (denied === undefined) return;
    throw new EventsError(
      'permission_denied',
      `the server does not permit this service to publish to '${denied}', which it needs to consume events`,
    );
  }

  async #publishEphemeral(subject: string, header: Uint8Array, body: Uint8Array): Promise<PublishReceipt> {
    if (!this.#link.connected) {
      throw new EventsError('disconnected', `cannot publish to '${subject}': not connected to NATS`, {
        retryable: true,
      });
    }
    const { refusals } = this.#link;
    const before = refusals.lastNumber('publish', subject);
    this.#link.nc.publish(subject, body, { headers: asMsgHdrs(header) });
    // One round trip for all that is published in the same turn of the event loop.
    this.#flush ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#flush = undefined;
        this.#link.flush(this.#options.publishTimeout).then(resolve, reject);
      });
    });
    try {
      await this.#flush;
    } catch (cause) {
      throw new EventsError(
        'disconnected',
        `'${subject}' may not have reached the server: ${(cause as Error).message}`,
        {
          cause,
          retryable: true,
        },
      );
    }
    if (refusals.lastNumber('publish', subject) !== before) {
      throw new EventsError(
        'permission_denied',
        `the server does not permit this service to publish to '${subject}'`,
      );
    }
    refusals.lift('publish', subject);
    return { duplicate: false };
  }

  /** An ephemeral service dead-letters where others have made the stream for it. */
  async #lookForDeadLetterStream(): Promise<void> {
    const jsm = await this.#manager();
    const found = await jsm.streams.info(deadLetterStream(this.#options.clusterId)).catch(() => undefined);
    if (found !== undefined) this.#deadLettersOfOthers = this.#deadLetters();
  }

  #manager(): Promise<JetStreamManager> {
    const { connectTimeout } = this.#options;
    return until(connectTimeout, 'JetStream', () => jetStreamManager(this.#link.nc, connectTimeout));
  }

  #deadLetters(): DeadLetters {
    const { clusterId, publishTimeout } = this.#options;
    return new DeadLetters(this.#publisherOf(), clusterId, publishTimeout, () => this.#maxPayload);
  }

  get #maxPayload(): number {
    return this.#link.nc.info?.max_payload ?? 1024 * 1024;
  }

  #publisherOf(): StreamPublisher {
    if (this.#publisher === undefined) throw new EventsError('closed', 'the transport is not connected');
    return this.#publisher;
  }

  #tick(): void {
    const now = Date.now();
    const { ackWait } = this.#options;
    if (now - this.#tickedAt > ackWait) {
      this.#options.logger.warn(
        `event_loop_blocked: nothing ran in this process for ${now - this.#tickedAt} ms, longer than the broker waits ` +
          `(${ackWait} ms): events it held may be handled twice`,
      );
    }
    this.#tickedAt = now;
    this.#link.tick();
    for (const subscription of this.#pulls()) subscription.tick(now);
    if (this.#link.connected) void this.#watch?.tick(now);
  }
}
