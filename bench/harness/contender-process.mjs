/** One side of a contender, in a process of its own: does what the parent asks for and answers with what it measured. */
import { Session } from 'node:inspector/promises';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Ledger } from './ledger.mjs';
import { monotonic } from './monotonic.mjs';

/** Milliseconds in which a trial's events must have arrived. */
const TRIAL_TIMEOUT = 60_000;

const [role, module, json] = process.argv.slice(2);
const connection = JSON.parse(json);
const contender = await import(pathToFileURL(module));
const expects = { attributes: contender.attributes ?? true, dates: contender.dates ?? false };
const profiler = new Session();
const always = {
  /** Bytes of live heap. */
  heap() {
    global.gc();
    return process.memoryUsage().heapUsed;
  },
  async profile() {
    profiler.connect();
    await profiler.post('Profiler.enable');
    await profiler.post('Profiler.setSamplingInterval', { interval: 500 });
    await profiler.post('Profiler.start');
  },
  /** @returns what `Profiler.stop` gives, since `profile` */
  async profiled() {
    const { profile } = await profiler.post('Profiler.stop');
    profiler.disconnect();
    return profile;
  },
};
const commands = role === 'publisher' ? await publisher() : await subscriber();

process.on('message', async ({ id, command, args }) => {
  try {
    const result = await { ...commands, ...always }[command](args);
    process.send({ id, result });
  } catch (error) {
    process.send({ id, error: String(error?.stack ?? error) });
  }
});
// Without a parent there is nobody to measure for.
process.on('disconnect', () => process.exit(1));
process.send({ ready: true });

async function publisher() {
  const side = await contender.publisher(connection);
  return {
    async trial({ count }) {
      const cpu = process.cpuUsage();
      const startedAt = monotonic();
      await side.publish(count);
      return { startedAt, confirmedAt: monotonic(), cpu: used(cpu) };
    },
    /** Every event by itself, at a pace that leaves everybody idle in between. */
    async paced({ count, interval }) {
      const pending = [];
      const start = monotonic();
      for (let index = 0; index < count; index++) {
        const wait = start + index * interval * 1e3 - monotonic();
        if (wait > 0) await sleep(wait / 1e3);
        pending.push(side.emit(index, { sentAt: monotonic() }));
      }
      await Promise.all(pending);
      return {};
    },
    close: () => side.close(),
  };
}

async function subscriber() {
  let ledger;
  let cpu;
  const handled = (...args) => ledger?.add(...args);
  const side = await contender.subscriber(connection, handled);
  return {
    /** From here on events count for the next trial. */
    async expect({ count }) {
      ledger = new Ledger(count, connection.options.handlers ?? 1, expects);
      cpu = process.cpuUsage();
    },
    async complete() {
      const signal = AbortSignal.timeout(TRIAL_TIMEOUT);
      await Promise.race([ledger.complete, new Promise((resolve) => (signal.onabort = resolve))]);
      // What settles the last event is part of the work.
      for (let i = 0; i < 3; i++) await turn();
      const result = {
        firstAt: ledger.firstAt,
        lastAt: ledger.lastAt,
        cpu: used(cpu),
        latencies: ledger.latencies,
        problem: ledger.problem,
      };
      const left = result.problem === undefined ? await side.leftovers?.() : undefined;
      if (left) result.problem = left;
      await side.forget?.();
      // Its ids would pass for a leak.
      ledger = undefined;
      return result;
    },
    /** Consumes what was stored before; measured from the first event handled to the last, set-up apart. */
    async drain({ count }) {
      ledger = new Ledger(count, 1, expects);
      ledger.onFirst = () => (cpu = process.cpuUsage());
      await side.open();
      const result = await this.complete();
      await side.shut();
      return result;
    },
    close: () => side.close(),
  };
}

function used(since) {
  const { user, system } = process.cpuUsage(since);
  return user + system;
}
