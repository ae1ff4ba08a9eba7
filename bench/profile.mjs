/**
 * Where the processor time of this package goes: profiles of both processes in JetStream trials, per cent by file and by
 * function. `npm run bench:profile`, about half a minute.
 *
 *   --ephemeral          core NATS instead
 *   --events 100000      how many
 *   --keep folder        where to leave the .cpuprofile files, which Chrome's and Node's inspectors open
 */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build } from '../scripts/setup.mjs';
import { machine } from './harness/machine.mjs';
import { Pair } from './harness/pair.mjs';
import { withServer } from './harness/server.mjs';
import { summarise } from './report/cpu-profile.mjs';
import { machineLines, profileTable } from './report/tables.mjs';
import { OUR_CORE, OUR_STREAM } from './suites/contenders.mjs';

const TRIALS = 5;

const { values } = parseArgs({
  options: {
    ephemeral: { type: 'boolean', default: false },
    events: { type: 'string', default: '100000' },
    keep: { type: 'string' },
  },
});
const events = Number(values.events);
if (!(events >= 1_000)) throw new Error('--events must be a number, at least 1000');

await build();
await withServer(async (server) => {
  process.stdout.write(`${machineLines(machine({ 'nats-server': server.version }))}\n`);
  const pair = await Pair.open(values.ephemeral ? OUR_CORE : OUR_STREAM, server);
  let profiles;
  try {
    const count = Math.round(events / TRIALS);
    await pair.trial(count); // warm
    profiles = await pair.profile(async () => {
      for (let i = 0; i < TRIALS; i++) await pair.trial(count);
    });
  } finally {
    await pair.close();
  }
  for (const [side, profile] of Object.entries(profiles)) {
    if (values.keep !== undefined) await keep(`${side}.cpuprofile`, JSON.stringify(profile));
    const { busy, byGroup, byFile, byFunction } = summarise(profile);
    process.stdout.write(`\n## The ${side}, ${(busy / 1e6).toFixed(1)} s of processor time\n`);
    for (const [what, shares] of Object.entries({ part: byGroup, file: byFile, function: byFunction })) {
      process.stdout.write(`\n${profileTable(what, shares)}\n`);
    }
  }
});

async function keep(file, content) {
  await mkdir(values.keep, { recursive: true });
  await writeFile(path.join(values.keep, file), content);
}
