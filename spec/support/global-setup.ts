import { execFile } from 'node:child_process';
import path from 'node:path';

interface Servers {
  oldest: { path: string; version: string };
  newest: { path: string; version: string };
}

const SCRIPT = path.join(__dirname, '..', '..', 'scripts', 'nats-server.mjs');

/**
 * Chooses the server for the integration tests: NATS_SERVER_UNDER_TEST is 'oldest' or 'newest', by default 'newest'.
 * Without a server it throws: these tests are never skipped.
 */
export default async function globalSetup(): Promise<void> {
  const which = process.env.NATS_SERVER_UNDER_TEST || 'newest';
  if (which !== 'oldest' && which !== 'newest') {
    throw new Error(`NATS_SERVER_UNDER_TEST must be 'oldest' or 'newest', not '${which}'`);
  }
  const server = (await findServers())[which];
  process.stderr.write(`nats-server: testing against ${server.version} (${which})\n`);
  process.env.NATS_SERVER_UNDER_TEST_BIN = server.path;
}

/** In a process of its own: the script is an ES module, and Jest turns what it transforms into CommonJS. */
function findServers(): Promise<Servers> {
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, [SCRIPT, 'matrix'], (error, stdout, stderr) => {
      if (error) reject(new Error(stderr.trim() || error.message));
      else resolve(JSON.parse(stdout) as Servers);
    });
    child.stderr?.pipe(process.stderr, { end: false });
  });
}
