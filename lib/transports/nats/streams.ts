import {
  DiscardPolicy,
  nanos,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
  type StreamConfig,
  type StreamInfo,
} from 'nats';
import { EventsError } from '../../core/errors';
import type { EventsLogger } from '../../core/logger';
import { deadLetterStream, retryStream } from '../../core/names';
import { textOf } from '../../core/thrown';
import { apiErrorCode, isPassing, serverCodeOf, STREAM_NOT_FOUND, until } from './api';
import type { NatsStreamLimits, NatsStreamOptions, NatsTransportOptions } from './options';

const STREAM_NAME_IN_USE = 10058;
const SUBJECTS_OVERLAP = 10065;

/** Milliseconds after which an update is looked at again. */
const SECOND_LOOK = 200;

/** The options of a stream, beside those of the server. */
const FIELDS: Readonly<Record<keyof NatsStreamLimits, (config: StreamConfig) => string | number>> = {
  storage: (config) => (config.storage === StorageType.Memory ? 'memory' : 'file'),
  replicas: (config) => config.num_replicas,
  maxAge: (config) => config.max_age / 1_000_000,
  maxBytes: (config) => config.max_bytes,
  maxMessages: (config) => config.max_msgs,
  duplicateWindow: (config) => config.duplicate_window / 1_000_000,
  discard: (config) => config.discard,
};

/**
 * Makes sure that the streams of the cluster exist and can keep what this package promises.
 * @param batches whether the server can store batches of events together
 * @returns them as they are at this moment: events, dead letters, re-deliveries
 * @throws EventsError `stream_mismatch`, `jetstream_unavailable`, `permission_denied`
 */
export async function provisionStreams(
  jsm: JetStreamManager,
  options: NatsTransportOptions,
  batches: boolean,
): Promise<[StreamInfo, StreamInfo, StreamInfo]> {
  const { clusterId } = options;
  const dlq = deadLetterStream(clusterId);
  const retry = retryStream(clusterId);
  const { Limits, Workqueue } = RetentionPolicy;
  return Promise.all([
    provision(
      jsm,
      options,
      { name: clusterId, subjects: [`${clusterId}.>`], retention: Limits, batches },
      options.events,
      'stream',
    ),
    // `-run` is reserved: earlier versions marked events there.
    provision(
      jsm,
      options,
      { name: dlq, subjects: [`${dlq}.>`, `${dlq}-run.>`], retention: Limits },
      options.deadLetters,
      'stream.deadLetter',
    ),
    // A redriven event is as safe as the dead letter it was, and gone when it is settled.
    provision(
      jsm,
      options,
      { name: retry, subjects: [`${retry}.>`], retention: Workqueue },
      { ...options.deadLetters, explicit: {} },
      'stream.deadLetter',
    ),
  ]);
}

interface StreamShape {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly retention: RetentionPolicy;
  /** Whether batches are to be stored together. Default: not. */
  readonly batches?: boolean;
}

/** A server's stream since 2.12, which the client does not know. */
export interface BatchStreamConfig {
  readonly allow_atomic?: boolean;
}

async function provision(
  jsm: JetStreamManager,
  options: NatsTransportOptions,
  shape: StreamShape,
  wanted: NatsStreamOptions,
  option: string,
): Promise<StreamInfo> {
  const { name } = shape;
  const subjects = shape.subjects.join("', '");
  return until(options.connectTimeout, `stream '${name}'`, async () => {
    const found = await jsm.streams.info(name).catch((error: unknown) => {
      if (apiErrorCode(error) === STREAM_NOT_FOUND) return undefined;
      throw error;
    });
    if (found !== undefined) return reconcile(jsm, options, found, shape, wanted, option);
    if (options.manage === false) {
      throw new EventsError(
        'stream_mismatch',
        `stream '${name}' does not exist and \`stream.manage\` is false: create it with the subjects '${subjects}'`,
      );
    }
    try {
      return await jsm.streams.add(configOf(shape, wanted.effective));
    } catch (error) {
      // Another service created it in this moment with other options: look at what it made.
      if (apiErrorCode(error) === STREAM_NAME_IN_USE) {
        return reconcile(jsm, options, await jsm.streams.info(name), shape, wanted, option);
      }
      if (apiErrorCode(error) === SUBJECTS_OVERLAP) {
        throw new EventsError(
          'stream_mismatch',
          `cannot create stream '${name}': another stream already takes subjects of '${subjects}'; ` +
            `choose another \`clusterId\` (NATS_CLUSTER_ID) or remove that stream's subjects`,
          { cause: error, serverCode: SUBJECTS_OVERLAP },
        );
      }
      throw refusedBy(error, `create stream '${name}'`, option);
    }
  });
}

async function reconcile(
  jsm: JetStreamManager,
  options: NatsTransportOptions,
  info: StreamInfo,
  shape: StreamShape,
  wanted: NatsStreamOptions,
  option: string,
): Promise<StreamInfo> {
  const { config } = info;
  const { name } = config;
  const fatal = [
    ...shape.subjects
      .filter((subject) => !config.subjects.some((s) => s === subject || s === '>'))
      .map((subject) => `it takes ${config.subjects.join(', ')}, not '${subject}'`),
    ...(config.retention === shape.retention
      ? []
      : [`its retention is '${config.retention}', not '${shape.retention}'`]),
    ...(config.storage === StorageType.Memory && wanted.effective.storage !== 'memory'
      ? [
          "it is stored in memory and loses events when its server restarts; set `stream.storage: 'memory'` to accept that",
        ]
      : []),
    ...(config.sealed || config.no_ack === true ? ['it is sealed or does not acknowledge'] : []),
  ];
  if (fatal.length > 0) {
    throw new EventsError(
      'stream_mismatch',
      `stream '${name}' cannot hold this cluster's events: ${fatal.join('; ')}`,
    );
  }

  const different = (Object.keys(FIELDS) as (keyof NatsStreamLimits)[]).filter(
    (key) => wanted.explicit[key] !== undefined && wanted.explicit[key] !== FIELDS[key](config),
  );
  if (different.length === 0) return info;
  const wider = different.filter(
    (key) => options.manage === 'update' && isWider(key, wanted.effective, config),
  );
  const left = different.filter((key) => !wider.includes(key));
  if (left.length > 0) {
    const diff = left
      .map((key) => `${key} is ${FIELDS[key](config)}, here ${wanted.explicit[key]}`)
      .join('; ');
    options.logger.warn(
      `stream '${name}' differs from \`${option}\`: ${diff}. It stays as it is` +
        (options.manage === 'update' ? ': it is never narrowed' : " (`stream.manage: 'update'` widens)"),
    );
  }
  if (wider.length === 0) return info;
  const target = configOf(shape, wanted.effective);
  const changes = Object.fromEntries(wider.map((key) => [CONFIG_KEYS[key], target[CONFIG_KEYS[key]]]));
  options.logger.log(
    `stream '${name}' is widened: ${wider.map((key) => `${key} ${wanted.effective[key]}`).join(', ')}`,
  );
  await jsm.streams.update(name, { ...config, ...changes }).catch((error: unknown) => {
    throw refusedBy(error, `widen stream '${name}'`, option);
  });
  // Another service may have widened it in this moment too, from the same start, and have the last word.
  await new Promise((resolve) => setTimeout(resolve, SECOND_LOOK));
  return reconcile(jsm, { ...options, logger: quiet() }, await jsm.streams.info(name), shape, wanted, option);
}

/** A refusal of the server for good, which the options explain; anything else as it is. */
const refusedBy = (error: unknown, action: string, option: string): unknown =>
  apiErrorCode(error) === undefined || isPassing(error)
    ? error
    : new EventsError(
        'stream_mismatch',
        `the server does not ${action}: ${textOf(error)}; see the options in \`${option}\``,
        { cause: error, ...serverCodeOf(error) },
      );

const CONFIG_KEYS = {
  storage: 'storage',
  replicas: 'num_replicas',
  maxAge: 'max_age',
  maxBytes: 'max_bytes',
  maxMessages: 'max_msgs',
  duplicateWindow: 'duplicate_window',
  discard: 'discard',
} as const satisfies Record<keyof NatsStreamLimits, keyof StreamConfig>;

/** What was said about a stream is not said again. */
const quiet = (): EventsLogger => ({
  warn: () => undefined,
  log: () => undefined,
  error: () => undefined,
  debug: () => undefined,
});

function isWider(key: keyof NatsStreamLimits, limits: NatsStreamLimits, config: StreamConfig): boolean {
  if (key === 'storage') return false; // a server cannot change it
  if (key === 'discard') return true; // to refuse loses nothing
  const now = FIELDS[key](config) as number;
  const wanted = limits[key];
  const unlimited = (value: number): boolean => value <= 0 && key !== 'replicas';
  return unlimited(wanted) ? !unlimited(now) : !unlimited(now) && wanted > now;
}

function configOf(
  { name, subjects, retention, batches }: StreamShape,
  limits: NatsStreamLimits,
): Partial<StreamConfig> & BatchStreamConfig & { name: string } {
  return {
    ...(batches === true && { allow_atomic: true }),
    name,
    subjects: [...subjects],
    retention,
    // A full stream refuses what is new, so that what was acknowledged stays.
    discard: DiscardPolicy.New,
    storage: limits.storage === 'memory' ? StorageType.Memory : StorageType.File,
    num_replicas: limits.replicas,
    max_age: nanos(limits.maxAge),
    max_bytes: limits.maxBytes,
    max_msgs: limits.maxMessages,
    duplicate_window: nanos(limits.duplicateWindow),
  };
}
