import { headers, type JetStreamManager, type StreamInfo } from 'nats';
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
import { lowered, streamShapes, type NewerStreamConfig } from './stream-config';
import { provisionStreams, streamProblems, type StreamNeeds } from './streams';

/** No stream has this name: names have no spaces. */
const NO_STREAM = 'no stream';
/** Milliseconds that a stream has to answer; without one the server answers at once. */
const PROBE_TIMEOUT = 1000;

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
    /** As they were when this service connected. */
    private readonly streams: readonly [StreamInfo, StreamInfo, StreamInfo],
    /** Whether events can be stored together. */
    readonly batches: boolean,
  ) {
    const { options, publisher, link, inboxPrefix } = parts;
    const { clusterId, connectTimeout: timeout, logger } = options;
    this.durables = new Durables(jsm, streams[0], options);
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
    const streams = await provisionStreams(jsm, needsOf(parts));
    const { allow_atomic: batches = false } = streams[0].config as NewerStreamConfig;
    return new JetStream(parts, jsm, streams, batches);
  }

  /** Looks at the streams as they are now. @returns what is wrong with them, one sentence each */
  async streamProblems(found: readonly (StreamInfo | undefined)[]): Promise<string[]> {
    const { options, link } = this.parts;
    const shapes = streamShapes(options, supportsBatches(link));
    const problems = shapes.map(async (shape, i) => {
      const now = found[i];
      if (now === undefined) return [`stream '${shape.name}' does not exist`];
      const before = (this.streams[i] as StreamInfo).config;
      const less = lowered(before, now.config);
      return [
        ...(await streamProblems(this.jsm, options, shape, now)),
        ...(less.length === 0
          ? []
          : [
              `stream '${shape.name}' was narrowed while this service runs: ${less.join('; ')}; restore it, or restart the service to accept it`,
            ]),
      ];
    });
    return (await Promise.all(problems)).flat();
  }

  consume(source: PullSource): PullSubscription {
    const { options, link, inboxPrefix } = this.parts;
    const { ackWait, logger } = options;
    const { jsm } = this;
    // It tells a stream from one that was made in its place.
    const streamCreated = this.streams.find(({ config }) => config.name === source.stream)?.created ?? '';
    const provision = (): Promise<unknown> => provisionStreams(jsm, needsOf(this.parts));
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

const needsOf = ({ options, link }: JetStreamParts): StreamNeeds => ({
  options,
  batches: supportsBatches(link),
  strangerOn: (subject) => strangerOn(link, subject),
});

/** A stream that is not the expected one answers, and stores nothing. */
async function strangerOn({ nc }: NatsLink, subject: string): Promise<string | undefined> {
  const expectations = headers();
  expectations.set('Nats-Expected-Stream', NO_STREAM);
  try {
    const answer = await nc.request(subject, '', { timeout: PROBE_TIMEOUT, headers: expectations });
    return answer.json<{ stream?: string }>().stream;
  } catch {
    // Nobody takes it, which is as it should be; or it is not known.
    return undefined;
  }
}

const deadLettersOf = ({ options, publisher, link, maxPayload }: JetStreamParts): DeadLetters => {
  const { clusterId, publishTimeout: timeout, logger } = options;
  return new DeadLetters({ publisher, link, clusterId, timeout, maxPayload, logger });
};

const managerOf = ({ options: { connectTimeout }, link }: JetStreamParts): Promise<JetStreamManager> =>
  until(connectTimeout, 'JetStream', () => jetStreamManager(link.nc, connectTimeout));
