import { eventually } from '../../lib/testing/conformance/collector';
import type { NatsServer } from './nats-server';

/** What would keep this process from ending: sockets and timers that are not let go, by kind. */
function held(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) {
    if (/Timeout|TCP|TLS|Pipe/.test(kind)) counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

/**
 * Runs something that is expected to fail, and waits until this process holds nothing more than before. What is still
 * held would keep Jest from ending, and a service from restarting.
 * @returns what was thrown
 * @throws Error if nothing was thrown, or if something is held after 15 s
 */
export async function failing(attempt: () => Promise<unknown>): Promise<unknown> {
  const before = held();
  const error = await attempt().then(
    () => {
      throw new Error('it did not fail');
    },
    (reason: unknown) => reason,
  );
  await eventually(
    async () => held(),
    (now) => Object.entries(now).every(([kind, count]) => count <= (before[kind] ?? 0)),
    (now) => `there is more than before: ${JSON.stringify({ before, now })}`,
  );
  return error;
}

/** Resolves when the server has exactly these clients, by name. */
export async function untilConnected(server: NatsServer, names: readonly string[]): Promise<void> {
  const wanted = JSON.stringify([...names].sort());
  await eventually(
    async () => {
      const connz = await server.monitor<{ connections: { name?: string }[] | null }>('/connz');
      return JSON.stringify((connz?.connections ?? []).map(({ name }) => name ?? '').sort());
    },
    (connected) => connected === wanted,
    (connected) => `${connected} are connected instead of ${wanted}`,
  );
}
