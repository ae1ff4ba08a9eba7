import { AckPolicy, DeliverPolicy, ReplayPolicy, type ConsumerConfig, type ConsumerInfo } from 'nats';
import { overlap } from '../../core/event-name';

/**
 * Constants, never derived from a handler's options: two versions of a service must be able to start side by side.
 * Deliveries are not limited, because *we* decide when an event is given up: a server that did would strand it.
 */
export const SETTINGS = Object.freeze({
  ack_policy: AckPolicy.Explicit,
  max_deliver: -1,
  max_ack_pending: 50_000,
  replay_policy: ReplayPolicy.Instant,
});

/** Settings of a consumer that this package never makes. The client merges an update into the present settings: `undefined` removes one. */
export const FOREIGN = Object.freeze({
  filter_subject: undefined,
  filter_subjects: undefined,
  backoff: undefined,
  headers_only: undefined,
  inactive_threshold: undefined,
  max_batch: undefined,
  max_expires: undefined,
  max_bytes: undefined,
  priority_groups: undefined,
  priority_policy: undefined,
});

/** Settings of newer servers that the client does not know. */
interface NewerConfig {
  readonly priority_policy?: string;
  readonly pause_until?: string;
}

/** Metadata of a consumer: the service and the handler as written, beside the sanitised name. */
export const META_APP = 'events-app';
export const META_HANDLER = 'events-handler';
/** Set where an instance recreated a lost consumer at its position. */
export const META_RECREATED = 'events-recreated';

/** The subjects a consumer takes. */
export const filtersOf = ({
  filter_subject: one,
  filter_subjects: many,
}: Partial<ConsumerConfig>): readonly string[] => many ?? (one === undefined ? [] : [one]);

/**
 * The sequence up to which everything is settled. Until the first acknowledgement, 2.10 says 0, wherever the consumer
 * starts: a lost one that is made again from there would deliver what was stored before it.
 */
export function floorOf({ ack_floor, delivered, config }: ConsumerInfo): number {
  if (ack_floor.stream_seq > 0) return ack_floor.stream_seq;
  if (delivered.consumer_seq === 0) return delivered.stream_seq;
  return (config.opt_start_seq ?? 1) - 1;
}

/** What a subscription expects of its consumer. */
export interface ExpectedConsumer {
  readonly app: string;
  /** `undefined` for the consumer of redelivered dead letters, which belongs to the whole service. */
  readonly handler: string | undefined;
  readonly filters: readonly string[];
  /** Nanoseconds after which the server removes it when nobody uses it; 0 for never. */
  readonly inactiveThreshold: number;
  /** Copies the server has to keep; 0 for as many as its stream, which is what a durable has by itself. */
  readonly replicas: number;
}

export interface ConsumerDifferences {
  /** The service and handler that own it, in words; `undefined` if it is the right one. */
  readonly owner: string | undefined;
  /** Whether nobody says that it is theirs. */
  readonly unowned: boolean;
  /** What no update puts right. */
  readonly broken: readonly string[];
  /** What an update puts right, beside the events that the server has dropped meanwhile. */
  readonly dropping: readonly string[];
  /** What an update puts right. */
  readonly changed: readonly string[];
  /** Expected subjects it does not take. */
  readonly missing: readonly string[];
}

/** Compares a consumer with what is expected of it. The start and the monitor both go by this. */
export function compareConsumer(
  config: ConsumerConfig & NewerConfig,
  expected: ExpectedConsumer,
): ConsumerDifferences {
  const app = config.metadata?.[META_APP];
  const handler = config.metadata?.[META_HANDLER];
  const ours = app === expected.app && handler === expected.handler;
  const filters = filtersOf(config);
  const inactive = config.inactive_threshold ?? 0;
  const { num_replicas: replicas = 0, priority_policy: priority = 'none' } = config;
  const changed: [boolean, string][] = [
    [config.max_ack_pending !== SETTINGS.max_ack_pending, `max_ack_pending is ${config.max_ack_pending}`],
    [(config.backoff ?? []).length > 0, 'it has a backoff'],
    [config.headers_only === true, 'headers_only is set'],
    [inactive !== expected.inactiveThreshold, `inactive_threshold is ${inactive / 1e9}s`],
    [isLimit(config.max_batch), `max_batch is ${config.max_batch}`],
    [isLimit(config.max_expires), `max_expires is ${(config.max_expires ?? 0) / 1e9}s`],
    [isLimit(config.max_bytes), `max_bytes is ${config.max_bytes}`],
    [priority !== 'none', `priority_policy is '${priority}'`],
    // A durable without a number of its own has that of its stream.
    [replicas < expected.replicas && (replicas > 0 || inactive > 0), `num_replicas is ${replicas || 1}`],
  ];
  const { max_deliver: deliveries } = config;
  const broken: [boolean, string][] = [
    [config.deliver_subject !== undefined, 'it is a push consumer'],
    [config.ack_policy !== SETTINGS.ack_policy, `its ack_policy is '${config.ack_policy}'`],
    [config.replay_policy !== SETTINGS.replay_policy, `its replay_policy is '${config.replay_policy}'`],
  ];
  return {
    owner: ours ? undefined : ownerOf(app, handler),
    unowned: app === undefined,
    broken: sentencesOf(broken),
    dropping: deliveries === SETTINGS.max_deliver ? [] : [`max_deliver is ${deliveries}`],
    changed: sentencesOf(changed),
    missing: expected.filters.filter((filter) => !filters.includes(filter)),
  };
}

const isLimit = (value: number | undefined): boolean => value !== undefined && value > 0;

const sentencesOf = (findings: readonly [boolean, string][]): string[] =>
  findings.filter(([found]) => found).map(([, sentence]) => sentence);

const ownerOf = (app: string | undefined, handler: string | undefined): string => {
  if (app === undefined) return 'not made by this package';
  return handler === undefined ? `of service '${app}'` : `of '${handler}' in service '${app}'`;
};

/** The subjects of others that a consumer keeps beside the own ones: newer and older versions share it. */
export const othersOf = (own: readonly string[], present: readonly string[]): string[] =>
  present.filter((filter) => !own.some((other) => overlap(other, filter)));

/**
 * Whether events may be missing between a known position and the start of a consumer that somebody recreated.
 * @param floor the sequence up to which everything is settled, as far as this instance knows
 */
export function mayHaveSkipped(
  { deliver_policy, opt_start_seq = 1, metadata }: ConsumerConfig,
  floor: number,
): boolean {
  if (deliver_policy === DeliverPolicy.All) return false;
  if (deliver_policy !== DeliverPolicy.StartSequence) return true;
  // Another instance may know a later position than this one.
  return metadata?.[META_RECREATED] === undefined && opt_start_seq > floor + 1;
}

/** Until when somebody paused it (ISO 8601), if so. */
export function pausedUntil(info: ConsumerInfo): string | undefined {
  if (info.paused !== true) return undefined;
  return (info.config as NewerConfig).pause_until ?? 'further notice';
}
