/**
 * Other versions of Node.js to test with, as binaries of the npm package `node`, installed once into .cache/node.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { npmCommand, ROOT } from './setup.mjs';

const run = promisify(execFile);
const CACHE = path.join(ROOT, '.cache', 'node');

/**
 * @param {string} tag a version or a tag of the npm package `node`, such as `24` or `latest`
 * @param {(line: string) => void} log
 * @returns {Promise<{ path: string, version: string }>}
 */
export async function findNode(tag, log) {
  const folder = path.join(CACHE, tag);
  const binary = path.join(folder, 'node_modules', 'node', 'bin', 'node');
  if (!existsSync(binary)) {
    log(`node: fetching Node.js ${tag}, once, into .cache/node`);
    await mkdir(folder, { recursive: true });
    // A package of its own: without it npm would install into this repository.
    await writeFile(path.join(folder, 'package.json'), '{ "private": true }\n');
    const { command, options } = npmCommand();
    const args = [
      ...command.slice(1),
      'install',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      `node@${tag}`,
    ];
    await run(command[0], args, { cwd: folder, ...options });
  }
  const { stdout } = await run(binary, ['--version']);
  return { path: binary, version: stdout.trim() };
}
