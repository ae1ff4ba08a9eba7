import { EventEmitter } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';

/**
 * What is in this process after a collection, by kind: bytes of live heap; what keeps the event loop alive, by Node's
 * names; listeners on the process and on every socket, pipe and server. Needs `--expose-gc`.
 * @returns {Promise<{ heap: number, active: Record<string, number>, listeners: number }>}
 */
export async function present() {
  // What has been answered in this turn is let go of in the next ones.
  for (let i = 0; i < 3; i++) await turn();
  global.gc();
  const active = {};
  for (const kind of process.getActiveResourcesInfo()) active[kind] = (active[kind] ?? 0) + 1;
  // Node has no public way to reach sockets that others opened.
  const emitters = [process, ...process._getActiveHandles().filter((each) => each instanceof EventEmitter)];
  const listeners = emitters.reduce((sum, each) => sum + listenersOf(each), 0);
  return { heap: process.memoryUsage().heapUsed, active, listeners };
}

const listenersOf = (emitter) =>
  emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0);
