import type { JetStreamManager, StreamInfo } from 'nats';
import { EventsError } from '../../core/errors';
import type { EventsLogger } from '../../core/logger';
import { textOf } from '../../core/thrown';
import { apiErrorCode, isPassing, serverCodeOf, STREAM_NOT_FOUND, until } from './api';
import type { NatsTransportOptions } from './options';
import {
  CONFIG_KEYS,
  configOf,
  differenceSentence,
  differencesOf,
  faultSentence,
  faultsOf,
  streamShapes,
  type StreamShape,
} from './stream-config';

const STREAM_NAME_IN_USE = 10058;
const SUBJECTS_OVERLAP = 10065;

/** Milliseconds after which an update is looked at again. */
const SECOND_LOOK = 200;

/** What provisioning asks beside the JetStream API. */
export interface StreamNeeds {
  readonly options: NatsTransportOptions;
  /** Whether the server can store batches of events together. */
  readonly batches: boolean;
  /**
   * The name of a stream that this connection's JetStream does not know and that takes messages with this subject all the same:
   * that of another JetStream domain behind a leaf node. Stores nothing.
   */
  readonly strangerOn: (subject: string) => Promise<string | undefined>;
}

/**
 * Makes sure that the streams of the cluster exist and can keep what this package promises.
 * @returns them as they are at this moment: events, dead letters, re-deliveries
 * @throws EventsError `stream_mismatch`, `jetstream_unavailable`, `permission_denied`
 */
export async function provisionStreams(
  jsm: JetStreamManager,
  needs: StreamNeeds,
): Promise<[StreamInfo, StreamInfo, StreamInfo]> {
  const [events, deadLetters, retries] = streamShapes(needs.options, needs.batches);
  await assertAlone(jsm, needs, events, deadLetters);
  const provisioned = (shape: StreamShape): Promise<StreamInfo> => provision(jsm, needs, shape);
  return Promise.all([provisioned(events), provisioned(deadLetters), provisioned(retries)]);
}

async function provision(jsm: JetStreamManager, needs: StreamNeeds, shape: StreamShape): Promise<StreamInfo> {
  const { options } = needs;
  const { name, option } = shape;
  const subjects = shape.subjects.join("', '");
  return until(options.connectTimeout, `stream '${name}'`, async () => {
    const found = await infoOf(jsm, name);
    if (found !== undefined) return reconcile(jsm, options, found, shape);
    if (options.manage === false) {
      throw new EventsError(
        'stream_mismatch',
        `stream '${name}' does not exist and \`stream.manage\` is false: create it with the subjects '${subjects}'`,
      );
    }
    try {
      return await jsm.streams.add(configOf(shape));
    } catch (error) {
      // Another service created it in this moment with other options: look at what it made.
      if (apiErrorCode(error) === STREAM_NAME_IN_USE) {
        return reconcile(jsm, options, await jsm.streams.info(name), shape);
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

/** Beside a stream of another JetStream domain, a second one of its name would take the same events, and begin empty. */
async function assertAlone(
  jsm: JetStreamManager,
  { options, strangerOn }: StreamNeeds,
  events: StreamShape,
  deadLetters: StreamShape,
): Promise<void> {
  const { manage, connectTimeout } = options;
  if (manage === false) return;
  const missing = ({ name }: StreamShape): Promise<boolean> =>
    until(connectTimeout, `stream '${name}'`, async () => (await infoOf(jsm, name)) === undefined);
  if (!(await missing(events)) || !(await missing(deadLetters))) return;
  // Not with an event: who listens to them takes each message for one.
  const stranger = await strangerOn(`${deadLetters.name}.probe`);
  // Another service may have created ours meanwhile.
  if (stranger === undefined || !(await missing(deadLetters))) return;
  throw new EventsError(
    'stream_mismatch',
    `cannot create stream '${events.name}': stream '${stranger}' of another JetStream takes this cluster's subjects already, ` +
      `such as that of another domain behind a leaf node, and this server does not know it; connect to a server of that ` +
      `domain (\`url\`, NATS_URL), or choose another \`clusterId\` (NATS_CLUSTER_ID)`,
  );
}

const infoOf = (jsm: JetStreamManager, name: string): Promise<StreamInfo | undefined> =>
  jsm.streams.info(name).catch((error: unknown) => {
    if (apiErrorCode(error) === STREAM_NOT_FOUND) return undefined;
    throw error;
  });

async function reconcile(
  jsm: JetStreamManager,
  options: NatsTransportOptions,
  info: StreamInfo,
  shape: StreamShape,
): Promise<StreamInfo> {
  const { config } = info;
  const { name, wanted } = shape;
  const faults = faultsOf(config, shape);
  if (faults.length > 0) throw new EventsError('stream_mismatch', faultSentence(name, faults));

  const { wider, left } = differencesOf(config, shape, options.manage);
  if (left.length > 0) {
    options.logger.warn(
      `${differenceSentence(config, shape, left)}. It stays as it is` +
        (options.manage === 'update' ? ': it is never narrowed' : " (`stream.manage: 'update'` widens)"),
    );
  }
  if (wider.length === 0) return info;
  const target = configOf(shape);
  const changes = Object.fromEntries(wider.map((key) => [CONFIG_KEYS[key], target[CONFIG_KEYS[key]]]));
  options.logger.log(
    `stream '${name}' is widened: ${wider.map((key) => `${key} ${wanted.effective[key]}`).join(', ')}`,
  );
  await jsm.streams.update(name, { ...config, ...changes }).catch((error: unknown) => {
    throw refusedBy(error, `widen stream '${name}'`, shape.option);
  });
  // Another service may have widened it in this moment too, from the same start, and have the last word.
  await new Promise((resolve) => setTimeout(resolve, SECOND_LOOK));
  return reconcile(jsm, { ...options, logger: quiet() }, await jsm.streams.info(name), shape);
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

/** Puts a stream right that was changed while it is used. @returns what is wrong with it and stays so, one sentence each */
export async function streamProblems(
  jsm: JetStreamManager,
  options: NatsTransportOptions,
  shape: StreamShape,
  { config }: StreamInfo,
): Promise<string[]> {
  const faults = faultsOf(config, shape);
  if (faults.length > 0) return [faultSentence(shape.name, faults)];
  const { wider, left } = differencesOf(config, shape, options.manage);
  const problems = left.length === 0 ? [] : [differenceSentence(config, shape, left)];
  if (wider.length === 0) return problems;
  try {
    await reconcile(jsm, { ...options }, { config } as StreamInfo, shape);
    return problems;
  } catch (error) {
    return [
      ...problems,
      `${differenceSentence(config, shape, wider)}; it cannot be widened: ${(error as Error).message}`,
    ];
  }
}

/** What was said about a stream is not said again. */
const quiet = (): EventsLogger => ({
  warn: () => undefined,
  log: () => undefined,
  error: () => undefined,
  debug: () => undefined,
});
