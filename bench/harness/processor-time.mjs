import { readFileSync } from 'node:fs';

/** The kernel counts in ticks of 10 ms, on every architecture that Node runs on. */
const TICK_MICROSECONDS = 10_000;

/** @returns {number | undefined} microseconds of processor time these processes have used; only Linux tells */
export function processorTime(pids) {
  if (process.platform !== 'linux') return undefined;
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field, a name in brackets, may hold spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * TICK_MICROSECONDS;
}
