/**
 * Runs samples/venta.
 *
 *   npm start                 on the embedded transport: no server is needed
 *   npm start -- --nats       on a real nats-server, started for it and stopped after it
 *   npm start -- --watch      stays until Ctrl-C
 *   npm start -- --verbose    with all that Nest and the library log, on stderr
 */
import { once } from 'node:events';
import os from 'node:os';
import { setup, SIGNALS, startNatsServer, startSample } from './setup.mjs';

const PARENT_POLL_MS = 250;
const OPTIONS = ['--nats', '--watch', '--verbose'];

async function main() {
  const given = process.argv.slice(2);
  const unknown = given.find((argument) => !OPTIONS.includes(argument));
  if (unknown) throw new Error(`Unknown option ${unknown}; there are ${OPTIONS.join(', ')}.`);
  await setup();
  if (!given.includes('--nats')) return runVenta(given);

  // From here on a signal must not end this process before it has stopped its server.
  let interrupted;
  for (const signal of SIGNALS) process.on(signal, () => (interrupted = signal));
  const server = await startNatsServer();
  try {
    process.stderr.write(`nats-server ${server.version} is up\n`);
    return interrupted ? exitCodeOf(interrupted) : await runVenta(given, server.url);
  } finally {
    await server.stop();
  }
}

/** Resolves with the exit code of the sample. */
async function runVenta(given, url) {
  const sample = startSample('venta', { url, args: given.filter((argument) => argument !== '--nats') });
  // npm passes a signal on to its shell, and the shell to nobody: being left alone is the sign.
  const { ppid, env } = process;
  const watching = setInterval(() => {
    if (env.npm_lifecycle_event && process.ppid !== ppid) sample.kill();
  }, PARENT_POLL_MS);
  const [code, signal] = await once(sample, 'exit');
  clearInterval(watching);
  return code ?? exitCodeOf(signal);
}

const exitCodeOf = (signal) => 128 + os.constants.signals[signal];

main().then(
  (code) => process.exit(code),
  (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  },
);
