import { fork } from 'node:child_process';
import path from 'node:path';

const PROGRAM = path.join(import.meta.dirname, 'contender-process.mjs');
const START_TIMEOUT_MS = 60_000;

/** One side of a contender, seen from the parent. */
export class Side {
  #child;
  #label;
  #next = 0;
  #waiting = new Map();
  #ready;

  /**
   * @param {'publisher' | 'subscriber'} role
   * @param {string} module path of the contender
   * @param {{ url: string, name: string, options: object }} connection
   */
  constructor(role, module, connection) {
    this.#label = `${role} of ${path.basename(module, '.mjs')}`;
    const args = [role, module, JSON.stringify(connection)];
    this.#child = fork(PROGRAM, args, {
      execArgv: ['--expose-gc', '--no-warnings'],
      // What services of this shell are told is not for the contenders.
      env: Object.fromEntries(
        Object.entries(process.env).filter(([key]) => !/^(NATS_|EVENT_|APP_NAME$)/.test(key)),
      ),
    });
    this.#ready = new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(`does not start`), START_TIMEOUT_MS);
      this.#waiting.set('ready', { resolve: () => resolve(clearTimeout(timer)), reject });
    });
    this.#child.on('message', ({ ready, id, result, error }) => {
      const key = ready ? 'ready' : id;
      const waiting = this.#waiting.get(key);
      this.#waiting.delete(key);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(`The ${this.#label}: ${error}`));
    });
    this.#child.once('exit', (code, signal) => this.#fail(`ended (${signal ?? code})`));
  }

  /** Resolves when it is connected and consumes. */
  ready() {
    return this.#ready;
  }

  ask(command, args = {}) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      if (!this.#child.connected) return reject(new Error(`The ${this.#label} has ended.`));
      this.#waiting.set(id, { resolve, reject });
      return this.#child.send({ id, command, args });
    });
  }

  /** Disconnects it properly, or ends it. */
  async close() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    const limit = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await this.ask('close').catch(() => undefined);
    this.#child.disconnect();
    await exited;
    clearTimeout(limit);
  }

  #fail(how) {
    for (const { reject } of this.#waiting.values()) reject(new Error(`The ${this.#label} ${how}.`));
    this.#waiting.clear();
  }
}
