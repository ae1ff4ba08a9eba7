import path from 'node:path';
import { runProgram } from '../harness/program.mjs';
import { median, spread } from '../harness/statistics.mjs';

const PROGRAM = path.join(import.meta.dirname, '..', 'programs', 'micro.mjs');
/** So short that what else the machine does falls between two of them, or into few. */
const MILLISECONDS = 2;
const TURNS = 20;

/** The parts whose difference is the price of an interceptor. */
export const INTERCEPTOR = ['handling, plain method', 'handling, one interceptor'];

/**
 * @param {{ rounds: number, only?: string[] }} options each round: short turns of every part, of which the median counts
 * @returns {Promise<{ parts: Record<string, number>, interceptor: { q1: number, median: number, q3: number } }>}
 *   microseconds per call
 */
export async function micro({ rounds, only }) {
  const options = { turns: rounds * TURNS, milliseconds: MILLISECONDS, only };
  const { measured } = await runProgram(PROGRAM, options);
  const of = (part) =>
    Array.from({ length: rounds }, (_, round) =>
      median(measured[part].slice(round * TURNS, (round + 1) * TURNS)),
    );
  const price = () => {
    const [plain, intercepted] = INTERCEPTOR.map(of);
    return spread(intercepted.map((value, round) => value - plain[round]));
  };
  return {
    parts: Object.fromEntries(Object.keys(measured).map((part) => [part, median(measured[part])])),
    // In a process that does nothing else: what others do to the compiler is theirs.
    interceptor: only === undefined ? (await micro({ rounds, only: INTERCEPTOR })).interceptor : price(),
  };
}
