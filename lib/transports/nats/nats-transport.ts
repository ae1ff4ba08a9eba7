import { createInbox } from 'nats';
import type { DeadLetterStore, Orphan } from '../../core/dead-letter-store';
import { EventsError } from '../../core/errors';
import { eventSubject, sanitize } from '../../core/names';
import { asSubject, type Subject } from '../../core/subject';
import { ownText } from '../../core/text';
import { TextMemo } from '../../core/text-memo';
import type {
  Consumer,
  EventTransport,
  OutboundMessage,
  PublishReceipt,
  SubscriptionSpec,
  TransportStatus,
  TransportSubscription,
} from '../../core/transport';
import { eventsErrorOf, mapped } from './api';
import { assertBatch, BATCH_HEADERS, publishAtomically } from './atomic-batch';
import { NatsLink } from './connection';
import { CoreSubscription } from './core-subscription';
import type { DeadLetters } from './dead-letters';
import { EphemeralPublisher } from './ephemeral-publisher';
import { lengthOf, wireMessageOf, type WireMessage } from './wire-message';
import { tellOfForeignFilters } from './foreign-filters';
import { HandlerSlots } from './handler-slots';
import { HandlerSource } from './handler-source';
import { deadLettersOfOthers, JetStream, type JetStreamParts } from './jetstream';
import { LoopWatch } from './loop-watch';
import type { NatsTransportOptions } from './options';
import { DRAIN_LIMIT, pause } from './pause';
import { assertPublishPermitted } from './permissions';
import { StreamPublisher } from './publisher';
import { PullSubscription } from './pull-subscription';
import { Redeliveries } from './redeliveries';
import { Watch } from './watch';

/** Kept free of every payload, so that what was accepted can also be dead-lettered, with its failure in the headers. */
const RESERVE = 4096;
const TICK = 1000;

/** Events over NATS: JetStream for what is durable, core NATS for what is ephemeral. */
export class NatsTransport implements EventTransport {
  readonly #options: NatsTransportOptions;
  readonly #link: NatsLink;
  readonly #inboxPrefix: string;
  /** Of the names that are published. */
  readonly #subjects = new TextMemo<Subject>();
  readonly #subscriptions = new Set<PullSubscription | CoreSubscription>();
  readonly #redeliveries: Redeliveries;
  readonly #ephemeral: EphemeralPublisher;
  readonly #loop: LoopWatch;
  #publisher: StreamPublisher | undefined;
  #jetStream: Promise<JetStream> | undefined;
  #store: DeadLetterStore | undefined;
  /** Of a service without durable delivery. */
  #deadLettersOfOthers: DeadLetters | undefined;
  #watch: Watch | undefined;
  #ticker: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: NatsTransportOptions) {
    this.#options = options;
    this.#link = new NatsLink(options);
    this.#inboxPrefix = `_INBOX.${sanitize(options.app)}`;
    this.#redeliveries = new Redeliveries(options);
    this.#ephemeral = new EphemeralPublisher(this.#link, options.publishTimeout);
    this.#loop = new LoopWatch(options);
  }

  async connect(): Promise<void> {
    await this.#link.connect();
    try {
      this.#publisher = new StreamPublisher(this.#link, this.#inboxPrefix);
      this.#ticker = setInterval(() => this.#tick(), TICK);
      if (this.#options.delivery === 'durable') await this.#durable();
      else this.#deadLettersOfOthers = await deadLettersOfOthers(this.#jetStreamParts);
    } catch (error) {
      await this.close();
      throw eventsErrorOf(error, 'the streams of the cluster');
    }
  }

  publish(message: OutboundMessage): Promise<PublishReceipt> {
    // Not `async`: a promise around the one that is there would be one more for each event.
    try {
      const wire = this.#wireOf(message);
      if (this.#options.delivery === 'ephemeral') return this.#ephemeral.publish(wire);
      const { clusterId: stream, publishTimeout } = this.#options;
      return this.#publisherOf().publish(wire, { stream, timeout: message.timeLeft ?? publishTimeout });
    } catch (error) {
      // What was thrown is passed on as it is.
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      return Promise.reject(error);
    }
  }

  async publishAtomic(messages: readonly OutboundMessage[]): Promise<PublishReceipt[]> {
    if (this.#closed) throw new EventsError('closed', 'cannot publish a batch: the transport is closed');
    const { clusterId, publishTimeout: timeout, delivery } = this.#options;
    const jetStream = delivery === 'durable' ? await this.#durable() : undefined;
    assertBatch(messages, jetStream?.batches === true);
    const { jsm } = jetStream as JetStream;
    const subject = (name: string): Subject => this.#subjectOf(name);
    for (const message of messages) {
      const wire = wireMessageOf(subject(message.name), message);
      this.#assertSize(message.name, lengthOf(wire) + BATCH_HEADERS);
    }
    return publishAtomically(this.#publisherOf(), jsm, messages, { stream: clusterId, subject, timeout });
  }

  subscribe(spec: SubscriptionSpec, consumer: Consumer): Promise<TransportSubscription> {
    return mapped(`the subscription of handler '${spec.handler}'`, () => this.#subscribe(spec, consumer));
  }

  async #subscribe(spec: SubscriptionSpec, consumer: Consumer): Promise<TransportSubscription> {
    if (this.#closed)
      throw new EventsError('closed', `cannot subscribe '${spec.handler}': the transport is closed`);
    const slots = new HandlerSlots(spec.concurrency);
    const subscription =
      spec.delivery === 'durable'
        ? await this.#pull(spec, consumer, slots)
        : await this.#core(spec, consumer);
    this.#subscriptions.add(subscription);
    if (spec.delivery === 'durable' && !spec.broadcast) this.#redeliveries.add({ spec, consumer, slots });
    return {
      start: () => {
        subscription.start();
        this.#redeliveries.start();
      },
      limit: (concurrency) => {
        slots.limit(concurrency);
        subscription.limit(concurrency);
      },
      stop: async (timeout) => {
        slots.close();
        await Promise.all([
          subscription.stop(timeout),
          this.#redeliveries.remove(spec.durable, timeout, this.#jetStream),
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
    return mapped(`the durables of stream '${this.#options.clusterId}'`, () =>
      durables.orphans(this.#options.app, this.#redeliveries.durables),
    );
  }

  status(): TransportStatus {
    return {
      connected: this.#link.connected,
      problems: [
        ...(this.#link.problem === undefined ? [] : [this.#link.problem]),
        ...this.#link.refusals.sentences.map((what) => `the server denies this service to ${what}`),
        ...(this.#watch?.problems ?? []),
        ...this.#all().flatMap(({ problem }) => (problem === undefined ? [] : [problem])),
      ],
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all(this.#all().map((subscription) => subscription.stop(0)));
    clearInterval(this.#ticker);
    const jetStream = await Promise.race([this.#jetStream?.catch(() => undefined), pause(DRAIN_LIMIT)]);
    if (this.#link.connected) await Promise.race([jetStream?.crashGuard.release(), pause(DRAIN_LIMIT)]);
    this.#publisher?.close();
    await this.#link.close();
  }

  #wireOf(message: OutboundMessage): WireMessage {
    const { name } = message;
    if (this.#closed) throw new EventsError('closed', `cannot publish '${name}': the transport is closed`);
    const wire = wireMessageOf(this.#subjectOf(name), message);
    this.#assertSize(name, lengthOf(wire));
    return wire;
  }

  #subjectOf(name: string): Subject {
    const known = this.#subjects.get(name);
    return known ?? this.#subjects.set(name, asSubject(ownText(eventSubject(this.#options.clusterId, name))));
  }

  /** Streams and consumers, made sure of when something durable first needs them. */
  #durable(): Promise<JetStream> {
    this.#jetStream ??= JetStream.open(this.#jetStreamParts).then((jetStream) => {
      this.#store = jetStream.store;
      this.#watch = new Watch(jetStream, this.#options.clusterId, () => this.#pulls());
      return jetStream;
    });
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
    tellOfForeignFilters(spec, info, this.#options);
    const subscription = jetStream.consume(
      new HandlerSource(clusterId, spec, info, consumer, slots, jetStream),
    );
    try {
      const { subjects } = subscription;
      if (!(await assertPublishPermitted(this.#link, subjects, this.#options.connectTimeout)))
        subscription.doubtAckForm();
      if (!spec.broadcast) await this.#redeliveries.ensure(jetStream);
    } catch (error) {
      await subscription.stop(0);
      throw error;
    }
    return subscription;
  }

  /** All that runs here. */
  #all(): (PullSubscription | CoreSubscription)[] {
    const { subscription } = this.#redeliveries;
    return subscription === undefined ? [...this.#subscriptions] : [...this.#subscriptions, subscription];
  }

  #pulls(): PullSubscription[] {
    return this.#all().filter((each) => each instanceof PullSubscription);
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
      await subscription.established(connectTimeout);
    } catch (error) {
      // Left in its group, it would be given events that nobody handles.
      await subscription.stop(0);
      throw error;
    }
    return subscription;
  }

  get #jetStreamParts(): JetStreamParts {
    return {
      options: this.#options,
      link: this.#link,
      publisher: this.#publisherOf(),
      inboxPrefix: this.#inboxPrefix,
      maxPayload: () => this.#maxPayload,
    };
  }

  #assertSize(name: string, size: number): void {
    const limit = this.#maxPayload - RESERVE;
    if (size <= limit) return;
    throw new EventsError(
      'payload_too_large',
      `'${name}' has ${size} bytes with its headers, ${limit} are allowed (the server's max_payload less ` +
        `${RESERVE} for a dead letter's headers); store the bulk elsewhere and emit a reference`,
    );
  }

  get #maxPayload(): number {
    return this.#link.nc.info?.max_payload ?? 1024 * 1024;
  }

  #publisherOf(): StreamPublisher {
    if (this.#publisher === undefined) throw new EventsError('closed', 'the transport is not connected');
    return this.#publisher;
  }

  #tick(): void {
    const now = performance.now();
    this.#loop.tick(now);
    this.#link.tick();
    for (const subscription of this.#pulls()) subscription.tick(now);
    if (this.#link.connected) void this.#watch?.tick(now);
  }
}
