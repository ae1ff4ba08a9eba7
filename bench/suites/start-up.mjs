import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processorTime } from '../harness/processor-time.mjs';
import { runProgram } from '../harness/program.mjs';

const APPLICATION = path.join(import.meta.dirname, '..', 'programs', 'application.mjs');
const HANDLERS = 1_000;
/** New objects lie in memory that loading has used before, and no collection comes: what is left is the code itself. */
const TOUCHED = ['--min-semi-space-size=16'];

/** How the application is started, and how often at most: what nothing is compared with takes fewer rounds. */
const VARIANTS = {
  bare: { mode: 'bare', rounds: 5 },
  without: { mode: 'without' },
  with: { mode: 'with' },
  withoutTouched: { mode: 'without', flags: TOUCHED },
  withTouched: { mode: 'with', flags: TOUCHED },
};

/**
 * What the module adds to the start of an application with 1,000 handlers, without a network.
 * @param {(keyof typeof VARIANTS)[]} [variants]
 * @returns {Promise<Record<keyof typeof VARIANTS, { loading: number, start: number, faults: number, perFault: number,
 *   rss: number, heap: number }[]>>} milliseconds, page faults, the microseconds of one, and bytes, by round
 */
export async function startUp({ rounds, variants = Object.keys(VARIANTS), say = () => {} }) {
  const results = Object.fromEntries(variants.map((variant) => [variant, []]));
  for (let round = 0; round < rounds; round++) {
    for (const variant of round % 2 === 0 ? variants : [...variants].reverse()) {
      const { mode, flags, rounds: most = rounds } = VARIANTS[variant];
      if (round >= most) continue;
      const options = { mode, url: 'memory://', handlers: HANDLERS };
      results[variant].push(await runProgram(APPLICATION, options, undefined, flags));
    }
    say(`start-up, round ${round + 1} of ${rounds}`);
  }
  return results;
}

/**
 * 1,000 handlers on a server: the first start, which creates their durables, restarts, which find them, and what they
 * cost while nothing happens.
 * @returns {Promise<{ create: number, bind: number[], idle: { seconds: number, client: number, server?: number } }>}
 *   milliseconds; the processor time of an idle second in milliseconds
 */
export async function restart(server, { restarts, idleSeconds = 5, say = () => {} }) {
  const options = { mode: 'with', url: server.url, clusterId: 'bench-restart', handlers: HANDLERS };
  const create = (await runProgram(APPLICATION, options)).bind;
  say(`1,000 durables created in ${Math.round(create)} ms`);
  const bind = [];
  let idle;
  for (let i = 0; i < restarts; i++) {
    const stay = idleSeconds > 0 && i === restarts - 1;
    let before;
    let after;
    const result = await runProgram(APPLICATION, { ...options, stay }, async ({ idle: idles }) => {
      if (!idles) return;
      before = processorTime(server.pids);
      await sleep(idleSeconds * 1_000);
      after = processorTime(server.pids);
    });
    bind.push(result.bind);
    say(`restart ${i + 1} of ${restarts}: bound in ${Math.round(result.bind)} ms`);
    if (stay) {
      const perSecond = (microseconds) => microseconds / 1e3 / idleSeconds;
      idle = { seconds: idleSeconds, client: perSecond(result.idleCpu) };
      if (before !== undefined) idle.server = perSecond(after - before);
    }
  }
  return { create, bind, idle };
}
