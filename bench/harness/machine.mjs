import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';

const require = createRequire(import.meta.url);

/** What a reader needs to judge the figures: the machine, how busy it was, and every version. */
export function machine(versions = {}) {
  const cpus = os.cpus();
  return {
    processor: `${os.availableParallelism()} × ${cpus[0]?.model.trim() || 'unknown processor'}`,
    memory: `${(os.totalmem() / 2 ** 30).toFixed(1)} GB`,
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    'load before': os
      .loadavg()
      .map((load) => load.toFixed(2))
      .join(' '),
    node: process.version,
    '@venta/events': `${require('../../package.json').version} (${commit()})`,
    'nats.js': versionOf('nats'),
    '@nestjs/core': versionOf('@nestjs/core'),
    ...versions,
    date: new Date().toISOString().slice(0, 10),
  };
}

const versionOf = (name) => JSON.parse(readFileSync(require.resolve(`${name}/package.json`), 'utf8')).version;

function commit() {
  const git = (...args) => execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
  try {
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--', '../../lib') ? ' and changes' : ''}`;
  } catch {
    return 'not a git checkout';
  }
}
