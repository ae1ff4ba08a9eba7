import { AsyncResource } from 'node:async_hooks';

/** An async context without any store, also where this module is loaded lazily, inside of one. */
const EMPTY = emptied(new AsyncResource('VentaEvents'));
const OPTIONS = { requireManualDestroy: true };
const createScope = (): AsyncResource => new AsyncResource('VentaEventsHandler', OPTIONS);

/**
 * Runs the handling of one event in an async context of its own that begins empty: without the stores of whoever made the
 * service or handled the event before. One resource per event: before Node 24, `enterWith` changes the resource it is called in.
 */
export function runInEventScope(run: () => void): void {
  EMPTY.runInAsyncScope(createScope).runInAsyncScope(run);
}

/** Removes the stores that a resource has inherited. Node 20 and 22 keep each under a symbol, Node 24 all in one frame. */
function emptied(resource: AsyncResource): AsyncResource {
  const properties = resource as unknown as Record<symbol, unknown>;
  for (const key of Object.getOwnPropertySymbols(resource)) {
    if (key.description === 'kResourceStore') delete properties[key];
    else if (/frame/i.test(key.description ?? '')) properties[key] = undefined;
  }
  return resource;
}
