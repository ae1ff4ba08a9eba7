/**
 * Makes services of the built library and drains them, one after the other, in a process of its own. It has to end by itself.
 *
 *   node spec/support/hundreds.mjs <url> <cluster id> <count>
 */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { createEventService } from '@venta/events';

const [url, clusterId, count] = process.argv.slice(2);
const quiet = { error() {}, warn() {}, log() {}, debug() {} };
// As an application has one.
new AsyncLocalStorage().enterWith('request');
/** Before Node 24, a new resource has a property for each AsyncLocalStorage in use. */
const stores = () => Object.getOwnPropertySymbols(new AsyncResource('Probe')).length;

let before;
for (let made = 0; made < Number(count); made++) {
  const service = await createEventService({ appName: 'hundreds', url, clusterId }, quiet);
  let handled;
  const done = new Promise((resolve) => (handled = resolve));
  await service.subscribe('order.placed', () => service.emit('order.packed', 1).then(handled));
  await service.emit('order.placed', made);
  await done;
  await service.drain();
  before ??= { stores: stores(), resources: process.getActiveResourcesInfo().length };
}
console.log(
  JSON.stringify({ before, after: { stores: stores(), resources: process.getActiveResourcesInfo().length } }),
);
