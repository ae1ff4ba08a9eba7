import type { WorkerEvent } from '../support/worker-process';

/** What becomes of an event, in the one handler it is meant for. */
export type Kind = 'healthy' | 'flaky' | 'failing' | 'rejected' | 'killer' | 'mended';

export interface PlannedEvent {
  /** Milliseconds after the start. */
  readonly at: number;
  readonly id: string;
  readonly kind: Kind;
  readonly name: string;
  readonly data: WorkerEvent;
}

/** A fault of the servers or of the links to them. Where the target is `server`, it is the stream's leader. */
export interface ServerFault {
  readonly target: 'server' | 'followers' | 'stall' | 'step-down' | 'cut' | 'slow';
  /** Chooses among the nodes, 0 to 1. */
  readonly which: number;
  /** Milliseconds that it lasts. */
  readonly down: number;
}

export type PlannedFault =
  | (ServerFault & { readonly at: number })
  | { readonly at: number; readonly target: 'worker'; readonly which: number }
  | { readonly at: number; readonly target: 'redrive' }
  | { readonly at: number; readonly target: 'deployment' };

export interface Plan {
  readonly events: readonly PlannedEvent[];
  /** By time. Those of the servers come one after the other; the rest happens beside them. */
  readonly faults: readonly PlannedFault[];
}

interface PlanOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly nodes: number;
  /** Names of the events. */
  readonly names: readonly string[];
  /** Names of the events that only the next version of a service knows. */
  readonly nextNames: readonly string[];
  readonly handlersOf: (name: string) => readonly string[];
}

/** Per second. */
const RATE = 100;
const SERVER_KILLS = 7 / 45;
/** On three nodes, where an election after each takes a while. */
const CLUSTER_FAULTS = 12 / 45;
const CLUSTER_TARGETS = ['server', 'followers', 'followers', 'stall', 'step-down', 'cut', 'slow'] as const;
const WORKER_KILLS = 13 / 45;
const REDRIVES = 4 / 45;
/** Milliseconds for which an event of kind `mended` fails: longer than its attempts take. */
export const MENDED_AFTER_MS = 5000;
const KILLERS = 3 / 45;
const SLOW = 0.05;
/** Shares of the run: the deployment begins, and names of the next version are emitted. */
const DEPLOYED_AT = 0.4;
const NEXT_FROM = 0.6;
const KINDS: readonly (readonly [share: number, kind: Kind])[] = [
  [0.02, 'failing'],
  [0.02, 'rejected'],
  [0.03, 'mended'],
  [0.1, 'flaky'],
  [1, 'healthy'],
];

/** Everything that is left to chance, from a seed. */
export function planOf(options: PlanOptions): Plan {
  const { seconds, seed, nodes, names, nextNames, handlersOf } = options;
  const random = mulberry32(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const end = seconds * 1000;
  const planned = (at: number, i: number, kind: Kind): PlannedEvent => {
    // The next version is deployed in the middle of the run; its emitter starts when it is there.
    const name = pick(at > NEXT_FROM * end ? [...names, ...nextNames] : names);
    // A handler that takes what all others take as well, so that the process that dies is a busy one.
    const only = kind === 'killer' ? (handlersOf(name)[0] as string) : pick(handlersOf(name));
    // Some take long enough to die with a process more than once.
    const wait = Math.floor(random() * (random() < SLOW ? 1000 : 60));
    return { at, id: `${kind}-${i}`, kind, name, data: { wait, only, do: actionsOf(kind, random) } };
  };
  const events = Array.from({ length: seconds * RATE }, (_, i) => {
    const dice = random();
    const kind = KINDS.find(([share]) => dice < share)?.[1] ?? 'healthy';
    return planned((i * 1000) / RATE, i, kind);
  });
  // Early, because it takes a killer many deaths to be found out.
  const killers = Array.from({ length: Math.max(1, Math.round(seconds * KILLERS)) }, (_, i) =>
    planned(500 + random() * 0.2 * end, i, 'killer'),
  );
  const times = (perSecond: number): number[] =>
    Array.from(
      { length: Math.max(1, Math.round(seconds * perSecond)) },
      () => 1000 + random() * (end - 1000),
    );
  const serverFaults = times(nodes === 1 ? SERVER_KILLS : CLUSTER_FAULTS).map((at) => ({
    at,
    target: nodes === 1 ? ('server' as const) : pick(CLUSTER_TARGETS),
    which: random(),
    down: nodes === 1 ? 100 + random() * 1400 : 500 + random() * 5000,
  }));
  const workerKills = times(WORKER_KILLS).map((at) => ({ at, target: 'worker' as const, which: random() }));
  const redrives = times(REDRIVES).map((at) => ({ at, target: 'redrive' as const }));
  const byTime = (a: { at: number }, b: { at: number }): number => a.at - b.at;
  return {
    events: [...events, ...killers].sort(byTime),
    faults: [
      ...serverFaults,
      ...workerKills,
      ...redrives,
      { at: DEPLOYED_AT * end, target: 'deployment' as const },
    ].sort(byTime),
  };
}

function actionsOf(kind: Kind, random: () => number): WorkerEvent['do'] {
  if (kind === 'failing') return ['fail'];
  if (kind === 'rejected') return ['reject'];
  if (kind === 'killer') return ['kill'];
  if (kind === 'mended') return ['mend'];
  if (kind === 'flaky') return random() < 0.5 ? ['fail', 'ok'] : ['fail', 'fail', 'ok'];
  return ['ok'];
}

/** A small generator with a seed: https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
