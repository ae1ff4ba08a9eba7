import { Gate } from '../../lib/testing/conformance/gate';
import { eventually, Ledger } from '../support/fault-ledger';
import { fault } from '../support/fault-scene';

/** Milliseconds beyond `shutdownTimeout` for what is said to the server at the end. */
const CEILING = 5000;

fault('F25 a server that stands still holds up no shutdown', async (scene, server) => {
  const gate = new Gate();
  const ledger = new Ledger();
  const service = await scene.service('app', { shutdownTimeout: 1000 });
  const run = ledger.handler(() => gate.opened);
  await service.subscribe('thing', run, { name: 'durable' });
  await service.subscribe('thing', run, { name: 'broadcast', broadcast: true });
  await service.subscribe('thing', run, { name: 'ephemeral', delivery: 'ephemeral' });
  await ledger.emit(service, 'thing', 'e');
  await eventually('all three run', () => ledger.runs.get('e')?.length === 3);

  server.pause();
  const since = Date.now();
  await service.drain();
  expect(Date.now() - since).toBeGreaterThanOrEqual(1000);
  expect(Date.now() - since).toBeLessThan(1000 + CEILING);
  server.resume();
  gate.open();
});
