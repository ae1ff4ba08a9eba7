import type { WorkerEvent } from '../support/worker-process';

/** What becomes of an event, in the one handler it is meant for. */
export type Kind = 'healthy' | 'flaky' | 'failing' | 'rejected' | 'killer';

export interface PlannedEvent {
  /** Milliseconds after the start. */
  readonly at: number;
  readonly id: string;
  readonly kind: Kind;
  readonly name: string;
  readonly data: WorkerEvent;
}

export interface PlannedFault {
  readonly at: number;
  readonly target: 'server' | 'worker';
  /** Chooses among the workers, 0 to 1. */
  readonly which: number;
  /** Milliseconds a server stays down. */
  readonly down: number;
}

export interface Plan {
  readonly events: readonly PlannedEvent[];
  readonly faults: readonly PlannedFault[];
}

/** Per second. */
const RATE = 100;
const SERVER_KILLS = 7 / 45;
const WORKER_KILLS = 13 / 45;
const KILLERS = 3 / 45;
const SLOW = 0.05;
const KINDS: readonly (readonly [share: number, kind: Kind])[] = [
  [0.02, 'failing'],
  [0.02, 'rejected'],
  [0.08, 'flaky'],
  [1, 'healthy'],
];

/** Everything that is left to chance, from a seed. */
export function planOf(
  seconds: number,
  seed: number,
  names: readonly string[],
  handlersOf: (name: string) => readonly string[],
): Plan {
  const random = mulberry32(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const end = seconds * 1000;
  const planned = (at: number, i: number, kind: Kind): PlannedEvent => {
    const name = pick(names);
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
  const faults = (target: PlannedFault['target'], perSecond: number): PlannedFault[] =>
    Array.from({ length: Math.max(1, Math.round(seconds * perSecond)) }, () => ({
      target,
      at: 1000 + random() * (end - 1000),
      which: random(),
      down: 100 + random() * 1400,
    }));
  const byTime = (a: { at: number }, b: { at: number }): number => a.at - b.at;
  return {
    events: [...events, ...killers].sort(byTime),
    faults: [...faults('server', SERVER_KILLS), ...faults('worker', WORKER_KILLS)].sort(byTime),
  };
}

function actionsOf(kind: Kind, random: () => number): WorkerEvent['do'] {
  if (kind === 'failing') return ['fail'];
  if (kind === 'rejected') return ['reject'];
  if (kind === 'killer') return ['kill'];
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
