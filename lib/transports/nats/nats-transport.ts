import { createInbox, type JetStreamManager } from 'nats';
import { EventsError } from '../../core/errors';
import { deadLetterStream, eventSubject, sanitize } from '../../core/names';
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
import { DeadLetters } from './dead-letters';
import { Durables } from './durables';
import { asMsgHdrs, encodeHeaders } from './header-block';
import type { NatsTransportOptions } from './options';
import { StreamPublisher } from './publisher';
import { PullSubscription } from './pull-subscription';
import { provisionStreams } from './streams';

/** Kept free of every payload, so that what was accepted can also be dead-lettered, with its failure in the headers. */
const RESERVE = 4096;
const TICK = 1000;

interface JetStream {
  readonly durables: Durables;
  readonly deadLetters: DeadLetters;
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
  #flush: Promise<void> | undefined;
  #ticker: NodeJS.Timeout | undefined;
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
    const limit = (this.#link.nc.info?.max_payload ?? 1024 * 1024) - RESERVE;
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
    this.#link.forgive(subject);
    // A duplicate after a re-try is our own earlier try.
    return { duplicate: ack.duplicate && ack.tries === 1, stream: ack.stream, sequence: ack.sequence };
  }

  async subscribe(spec: SubscriptionSpec, consumer: Consumer): Promise<TransportSubscription> {
    if (this.#closed)
      throw new EventsError('closed', `cannot subscribe '${spec.handler}': the transport is closed`);
    const subscription =
      spec.delivery === 'durable' ? await this.#pull(spec, consumer) : await this.#core(spec, consumer);
    this.#subscriptions.add(subscription);
    return {
      start: () => subscription.start(),
      stop: async (timeout) => {
        await subscription.stop(timeout);
        this.#subscriptions.delete(subscription);
      },
    };
  }

  status(): TransportStatus {
    return {
      connected: this.#link.connected,
      problems: [
        ...(this.#link.connected || this.#closed ? [] : ['not connected to NATS']),
        ...[...this.#link.denied].map((what) => `the server denies this service to ${what}`),
        ...[...this.#subscriptions].flatMap(({ problem }) => (problem === undefined ? [] : [problem])),
      ],
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.stop(0)));
    clearInterval(this.#ticker);
    this.#publisher?.close();
    await this.#link.close();
  }

  /** Streams and consumers, made sure of when something durable first needs them. */
  #durable(): Promise<JetStream> {
    this.#jetStream ??= (async () => {
      const jsm = await this.#manager();
      const info = await provisionStreams(jsm, this.#options);
      const { clusterId, connectTimeout } = this.#options;
      return {
        durables: new Durables(jsm, clusterId, info.state.last_seq, connectTimeout),
        deadLetters: this.#deadLetters(),
      };
    })();
    this.#jetStream.catch(() => (this.#jetStream = undefined));
    return this.#jetStream;
  }

  async #pull(spec: SubscriptionSpec, consumer: Consumer): Promise<PullSubscription> {
    const { durables, deadLetters } = await this.#durable();
    const info = spec.broadcast
      ? await durables.createBroadcast(spec, `${spec.durable}__${createInbox().split('.').at(-1)}`)
      : await durables.ensure(spec);
    const { clusterId, logger } = this.#options;
    const parts = {
      link: this.#link,
      durables,
      deadLetters,
      clusterId,
      inboxPrefix: this.#inboxPrefix,
      logger,
    };
    const subscription = new PullSubscription(parts, spec, info, consumer);
    await this.#assertPermitted([subscription.pullSubject, `$JS.ACK.${clusterId}.${info.name}.0.0.0.0.0`]);
    return subscription;
  }

  async #core(spec: SubscriptionSpec, consumer: Consumer): Promise<CoreSubscription> {
    const deadLetters =
      this.#jetStream === undefined ? this.#deadLettersOfOthers : (await this.#jetStream).deadLetters;
    const { clusterId, logger } = this.#options;
    const subscription = new CoreSubscription(
      { link: this.#link, deadLetters, clusterId, logger },
      spec,
      consumer,
    );
    // The subscription holds at the server from here on; a refusal of it has arrived.
    await this.#link.flush(this.#options.connectTimeout);
    if (subscription.problem !== undefined) {
      throw new EventsError(
        'permission_denied',
        `cannot subscribe '${spec.handler}': ${subscription.problem}`,
      );
    }
    return subscription;
  }

  /** Sends to each subject what the server answers with an error and otherwise ignores, and looks for refusals. */
  async #assertPermitted(subjects: readonly string[]): Promise<void> {
    const inbox = createInbox(this.#inboxPrefix);
    for (const subject of subjects) this.#link.nc.publish(subject, '?', { reply: inbox });
    await this.#link.flush(this.#options.connectTimeout);
    const denied = subjects.find((subject) => this.#link.denied.has(`publish to "${subject}"`));
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
    this.#link.forgive(subject);
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
    if (this.#link.denied.has(`publish to "${subject}"`)) {
      throw new EventsError(
        'permission_denied',
        `the server does not permit this service to publish to '${subject}'`,
      );
    }
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
    return new DeadLetters(this.#publisherOf(), this.#options.clusterId, this.#options.publishTimeout);
  }

  #publisherOf(): StreamPublisher {
    if (this.#publisher === undefined) throw new EventsError('closed', 'the transport is not connected');
    return this.#publisher;
  }

  #tick(): void {
    const now = Date.now();
    for (const subscription of this.#subscriptions)
      if (subscription instanceof PullSubscription) subscription.tick(now);
  }
}
