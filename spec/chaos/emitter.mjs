/**
 * Emits the planned events at their time, from the built library, and reports each acknowledgement to a journal.
 *
 *   node spec/chaos/emitter.mjs '<options as JSON>'
 */
import { existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createEventService } from '@venta/events';

const { url, clusterId, journal, plan, part, parts, nextEvents, failsFor } = JSON.parse(process.argv[2]);
const POLL_MS = 50;
const file = openSync(journal, 'a');
const note = (what, more) =>
  writeSync(file, `${JSON.stringify({ at: Date.now(), pid: process.pid, app: 'emitter', what, ...more })}\n`);
process.on('disconnect', () => process.exit());

const logger = { error: () => {}, warn: () => {}, log: () => {}, debug: () => {} };
const service = await createEventService(
  { appName: 'emitter', url, clusterId, consume: false, connectTimeout: 60_000 },
  logger,
);
const mine = JSON.parse(readFileSync(plan, 'utf8')).filter((_, i) => i % parts === part);
const start = Date.now();
await Promise.all(
  mine.map(async ({ at, id, name, data }) => {
    await sleep(Math.max(0, start + at - Date.now()));
    // The next version's names are known when its first instance is there.
    while (nextEvents.includes(name) && !existsSync(`${plan}.next`)) await sleep(POLL_MS);
    try {
      await service.emit(name, { ...data, failsFor }, { id });
      note('acknowledged', { id });
    } catch (error) {
      note('refused', { id, message: `${error.code}: ${error.message}` });
    }
  }),
);
await service.drain();
process.exit();
