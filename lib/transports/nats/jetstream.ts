import type { JetStreamManager } from 'nats';
import { deadLetterStream } from '../../core/names';
import { jetStreamManager, until } from './api';
import { supportsBatches } from './atomic-batch';
import type { NatsLink } from './connection';
import { CrashGuard } from './crash-guard';
import { DeadLetters } from './dead-letters';
import { Durables } from './durables';
import { NatsDeadLetterStore } from './nats-dead-letter-store';
import type { NatsTransportOptions } from './options';
import type { StreamPublisher } from './publisher';
import type { PullSource } from './pull-source';
import { PullSubscription } from './pull-subscription';
import { provisionStreams, type BatchStreamConfig } from './streams';

export interface JetStreamParts {
  readonly options: NatsTransportOptions;
  readonly link: NatsLink;
  readonly publisher: StreamPublisher;
  readonly inboxPrefix: string;
  /** Bytes the server takes at most. */
  readonly maxPayload: () => number;
}

/** What durable delivery works with: there once the streams are. */
export class JetStream {
  readonly durables: Durables;
  readonly deadLetters: DeadLetters;
  readonly crashGuard: CrashGuard;
  readonly store: NatsDeadLetterStore;

  private constructor(
    private readonly parts: JetStreamParts,
    readonly jsm: JetStreamManager,
    /** When each stream was created: what tells it from one that was made in its place. */
    private readonly streamsCreated: ReadonlyMap<string, string>,
    lastSequence: number,
    /** Whether events can be stored together. */
    readonly batches: boolean,
  ) {
    const { options, publisher, link, inboxPrefix } = parts;
    const { clusterId, connectTimeout: timeout, ackWait, logger } = options;
    this.durables = new Durables(jsm, clusterId, lastSequence, timeout, ackWait);
    this.deadLetters = deadLettersOf(parts);
    this.crashGuard = new CrashGuard(publisher, jsm, clusterId, logger);
    const { durables } = this;
    this.store = new NatsDeadLetterStore({
      link,
      jsm,
      publisher,
      durables,
      clusterId,
      inboxPrefix,
      timeout,
    });
  }

  /** Makes sure of the streams. @throws EventsError `stream_mismatch`, `jetstream_unavailable`, `permission_denied` */
  static async open(parts: JetStreamParts): Promise<JetStream> {
    const jsm = await managerOf(parts);
    const streams = await provisionStreams(jsm, parts.options, supportsBatches(parts.link));
    const created = new Map(streams.map((stream) => [stream.config.name, stream.created]));
    const { allow_atomic: batches = false } = streams[0].config as BatchStreamConfig;
    return new JetStream(parts, jsm, created, streams[0].state.last_seq, batches);
  }

  consume(source: PullSource): PullSubscription {
    const { options, link, inboxPrefix } = this.parts;
    const { ackWait, logger } = options;
    const { jsm } = this;
    const streamCreated = this.streamsCreated.get(source.stream) ?? '';
    const provision = (): Promise<unknown> => provisionStreams(jsm, options, supportsBatches(link));
    return new PullSubscription(
      { link, jsm, streamCreated, inboxPrefix, ackWait, logger, provision },
      source,
    );
  }
}

/** An ephemeral service dead-letters where others have made the stream for it. */
export async function deadLettersOfOthers(parts: JetStreamParts): Promise<DeadLetters | undefined> {
  const jsm = await managerOf(parts);
  const found = await jsm.streams.info(deadLetterStream(parts.options.clusterId)).catch(() => undefined);
  return found && deadLettersOf(parts);
}

const deadLettersOf = ({ options, publisher, link, maxPayload }: JetStreamParts): DeadLetters => {
  const { clusterId, publishTimeout: timeout, logger } = options;
  return new DeadLetters({ publisher, link, clusterId, timeout, maxPayload, logger });
};

const managerOf = ({ options: { connectTimeout }, link }: JetStreamParts): Promise<JetStreamManager> =>
  until(connectTimeout, 'JetStream', () => jetStreamManager(link.nc, connectTimeout));
