import { fork } from 'node:child_process';

/** A ceiling, for machines that are busy. */
const TIMEOUT_MS = 600_000;

/**
 * Runs a program that sends its results by IPC, one message a step, and ends when it is told to.
 * @param {(message: object, child: import('node:child_process').ChildProcess) => Promise<unknown> | unknown} [onMessage]
 *   what is to be done between two steps
 * @param {string[]} [flags] of Node, further ones
 * @returns {Promise<object>} all messages as one object
 */
export function runProgram(file, options, onMessage = () => {}, flags = []) {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([key]) => !/^(NATS_|EVENT_|APP_NAME$)/.test(key)),
  );
  const child = fork(file, [JSON.stringify(options)], {
    execArgv: ['--expose-gc', '--no-warnings', ...flags],
    env,
    timeout: TIMEOUT_MS,
  });
  const result = {};
  return new Promise((resolve, reject) => {
    let pending = Promise.resolve();
    child.on('message', (message) => {
      Object.assign(result, message);
      pending = pending.then(async () => {
        await onMessage(message, child);
        if (child.connected) child.send('go on');
      });
      pending.catch((error) => {
        child.kill();
        reject(error);
      });
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (code === 0) pending.then(() => resolve(result), reject);
      else reject(new Error(`${file} with ${JSON.stringify(options)} failed (${signal ?? code}).`));
    });
  });
}
