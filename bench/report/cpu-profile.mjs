import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.join(import.meta.dirname, '..', '..');
const LONGEST_LIST = 25;
/** What V8 gives time to that is not spent. */
const IDLE = new Set(['(idle)', '(root)', '(program)']);

/**
 * A CPU profile of V8 as shares of the time the process was busy, by the function at the top of the stack.
 * @returns {{ busy: number, byGroup: [string, number][], byFile: [string, number][], byFunction: [string, number][] }}
 *   microseconds; per cent
 */
export function summarise({ nodes, samples, timeDeltas }) {
  const self = new Map();
  samples.forEach((id, i) => self.set(id, (self.get(id) ?? 0) + timeDeltas[i]));
  const sums = { group: new Map(), file: new Map(), function: new Map() };
  let busy = 0;
  for (const { id, callFrame } of nodes) {
    const time = self.get(id) ?? 0;
    if (time === 0 || IDLE.has(callFrame.functionName)) continue;
    busy += time;
    const file = fileOf(callFrame);
    const line = file.includes('/') ? `:${callFrame.lineNumber + 1}` : '';
    add(sums.group, groupOf(file), time);
    add(sums.file, file, time);
    add(sums.function, `${callFrame.functionName || '(anonymous)'} ${file}${line}`, time);
  }
  const shares = (sum) =>
    [...sum]
      .sort(([, a], [, b]) => b - a)
      .slice(0, LONGEST_LIST)
      .map(([name, time]) => [name, (100 * time) / busy]);
  return { busy, byGroup: shares(sums.group), byFile: shares(sums.file), byFunction: shares(sums.function) };
}

function fileOf({ functionName, url }) {
  if (functionName === '(garbage collector)') return 'garbage collector';
  if (url === '') return 'native code';
  if (url.startsWith('node:')) return url;
  const file = path.relative(ROOT, url.startsWith('file:') ? fileURLToPath(url) : url);
  // Wherever the packages lie.
  return file.replaceAll(path.sep, '/').replace(/^.*node_modules\//, 'node_modules/');
}

function groupOf(file) {
  if (file.startsWith('dist/')) return '@venta/events';
  if (file.startsWith('bench/')) return 'the benchmark';
  if (file.startsWith('node:')) return 'Node';
  return file.startsWith('node_modules/')
    ? file
        .split('/')
        .slice(1, file.includes('/@') ? 3 : 2)
        .join('/')
    : file;
}

const add = (sums, key, value) => sums.set(key, (sums.get(key) ?? 0) + value);
