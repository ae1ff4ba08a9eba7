import { DiscardPolicy, nanos, RetentionPolicy, StorageType, type StreamConfig } from 'nats';
import { deadLetterStream, retryStream } from '../../core/names';
import type { NatsStreamLimits, NatsStreamOptions, NatsTransportOptions } from './options';

/** What a stream of the cluster has to be. */
export interface StreamShape {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly retention: RetentionPolicy;
  /** How it is made, and what this service insists on. */
  readonly wanted: NatsStreamOptions;
  /** The module's option that says so. */
  readonly option: string;
  /** Whether batches are to be stored together. Default: not. */
  readonly batches?: boolean;
}

/** Settings of newer servers that the client does not know. */
export interface NewerStreamConfig {
  readonly allow_atomic?: boolean;
  readonly persist_mode?: string;
}

/** The streams of a cluster: events, dead letters, re-deliveries. */
export function streamShapes(
  { clusterId, events, deadLetters }: NatsTransportOptions,
  batches: boolean,
): [StreamShape, StreamShape, StreamShape] {
  const dlq = deadLetterStream(clusterId);
  const retry = retryStream(clusterId);
  const { Limits, Workqueue } = RetentionPolicy;
  const option = 'stream.deadLetter';
  return [
    {
      name: clusterId,
      subjects: [`${clusterId}.>`],
      retention: Limits,
      wanted: events,
      option: 'stream',
      batches,
    },
    // `-run` is reserved: earlier versions marked events there.
    { name: dlq, subjects: [`${dlq}.>`, `${dlq}-run.>`], retention: Limits, wanted: deadLetters, option },
    // A redriven event is as safe as the dead letter it was, and gone when it is settled.
    {
      name: retry,
      subjects: [`${retry}.>`],
      retention: Workqueue,
      wanted: { ...deadLetters, explicit: {} },
      option,
    },
  ];
}

/** The options of a stream, beside those of the server. */
export const FIELDS: Readonly<Record<keyof NatsStreamLimits, (config: StreamConfig) => string | number>> = {
  storage: (config) => (config.storage === StorageType.Memory ? 'memory' : 'file'),
  replicas: (config) => config.num_replicas,
  maxAge: (config) => config.max_age / 1_000_000,
  maxBytes: (config) => config.max_bytes,
  maxMessages: (config) => config.max_msgs,
  duplicateWindow: (config) => config.duplicate_window / 1_000_000,
  discard: (config) => config.discard,
};

const NAMES = Object.keys(FIELDS) as (keyof NatsStreamLimits)[];

/**
 * What makes a stream lose or redirect events that were acknowledged, or not take them. The start refuses such a stream, the
 * monitor tells of it.
 */
export function faultsOf(
  config: StreamConfig & NewerStreamConfig,
  { subjects, retention, wanted }: StreamShape,
): string[] {
  const { mirror, subjects: taken, max_msgs_per_subject: perSubject } = config;
  if (mirror !== undefined) {
    return [
      `it is a mirror of '${mirror.name}' and takes no events itself: connect to the servers that have '${mirror.name}'`,
    ];
  }
  const faults: [boolean, string][] = [
    ...subjects.map((subject): [boolean, string] => [
      !(taken ?? []).some((each) => each === subject || each === '>'),
      taken === undefined || taken.length === 0
        ? `it takes the events of other streams only (its sources), not '${subject}'`
        : `it takes ${taken.join(', ')}, not '${subject}'`,
    ]),
    [config.retention !== retention, `its retention is '${config.retention}', not '${retention}'`],
    [
      config.storage === StorageType.Memory && wanted.effective.storage !== 'memory',
      "it is stored in memory and loses events when its server restarts; set `stream.storage: 'memory'` to accept that",
    ],
    [config.sealed || config.no_ack === true, 'it is sealed or does not acknowledge'],
    [
      perSubject > 0,
      `max_msgs_per_subject is ${perSubject}: it drops earlier events of a name; set it to -1`,
    ],
    [config.subject_transform !== undefined, 'subject_transform gives its events other subjects; remove it'],
    [
      config.persist_mode === 'async',
      "persist_mode is 'async': it acknowledges events before they are stored",
    ],
  ];
  return faults.filter(([found]) => found).map(([, sentence]) => sentence);
}

export const faultSentence = (name: string, faults: readonly string[]): string =>
  `stream '${name}' cannot hold this cluster's events: ${faults.join('; ')}`;

/** The options that this service insists on and a stream does not have: those that an update may widen, and the others. */
export function differencesOf(
  config: StreamConfig,
  { wanted }: StreamShape,
  manage: NatsTransportOptions['manage'],
): { wider: (keyof NatsStreamLimits)[]; left: (keyof NatsStreamLimits)[] } {
  const different = NAMES.filter(
    (key) => wanted.explicit[key] !== undefined && wanted.explicit[key] !== FIELDS[key](config),
  );
  const wider = different.filter((key) => manage === 'update' && isWider(key, wanted.effective, config));
  return { wider, left: different.filter((key) => !wider.includes(key)) };
}

export const differenceSentence = (
  config: StreamConfig,
  { name, wanted, option }: StreamShape,
  left: readonly (keyof NatsStreamLimits)[],
): string =>
  `stream '${name}' differs from \`${option}\`: ` +
  left.map((key) => `${key} is ${FIELDS[key](config)}, here ${wanted.explicit[key]}`).join('; ');

/** Limits that a stream had at the start of this service and has no more: the stream may drop what it would have kept. */
export function lowered(before: StreamConfig, now: StreamConfig): string[] {
  return NAMES.filter((key) => {
    if (key === 'discard') return before.discard === DiscardPolicy.New && now.discard !== DiscardPolicy.New;
    return key !== 'storage' && isNarrower(key, FIELDS[key](now) as number, FIELDS[key](before) as number);
  }).map((key) => `${key} is ${FIELDS[key](now)}, was ${FIELDS[key](before)}`);
}

function isWider(key: keyof NatsStreamLimits, limits: NatsStreamLimits, config: StreamConfig): boolean {
  if (key === 'storage') return false; // a server cannot change it
  if (key === 'discard') return true; // to refuse loses nothing
  return isNarrower(key, FIELDS[key](config) as number, limits[key]);
}

const isNarrower = (key: keyof NatsStreamLimits, value: number, than: number): boolean => {
  const unlimited = (each: number): boolean => each <= 0 && key !== 'replicas';
  return unlimited(than) ? !unlimited(value) : !unlimited(value) && value < than;
};

export function configOf({
  name,
  subjects,
  retention,
  batches,
  wanted: { effective: limits },
}: StreamShape): Partial<StreamConfig> & NewerStreamConfig & { name: string } {
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

export const CONFIG_KEYS = {
  storage: 'storage',
  replicas: 'num_replicas',
  maxAge: 'max_age',
  maxBytes: 'max_bytes',
  maxMessages: 'max_msgs',
  duplicateWindow: 'duplicate_window',
  discard: 'discard',
} as const satisfies Record<keyof NatsStreamLimits, keyof StreamConfig>;
