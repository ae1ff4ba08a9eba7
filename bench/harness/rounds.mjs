import { Pair } from './pair.mjs';

const SMALLEST_TRIAL = 2_000;
const LARGEST_TRIAL = 60_000;

/**
 * Measures contenders against each other: every round has one trial of each, in an order that is reversed from round to
 * round, so that whatever else the machine does meets all of them.
 * @param {{ key: string, module: string, options?: object, server?: object }[]} contenders with a server of their own, if it
 *   is not the common one
 * @param {{ url: string, pids: number[] }} server
 * @param {{ rounds: number, seconds?: number, warmups?: number, first?: number, say?: (line: string) => void,
 *   warm?: (pair: Pair) => Promise<unknown>,
 *   trial?: (pair: Pair, count: number) => Promise<object> }} options `seconds`: how long a trial should last, `first`:
 *   events of the first warm-up, from which the count of the others follows
 * @returns {Promise<Record<string, object[]>>} what each trial measured, by contender and round
 */
export async function measure(
  contenders,
  server,
  {
    rounds,
    seconds = 1,
    warmups = 2,
    first = 5_000,
    say = () => {},
    warm,
    trial = (pair, count) => pair.trial(count),
  },
) {
  const pairs = [];
  try {
    for (const contender of contenders) pairs.push(await Pair.open(contender, contender.server ?? server));
    const counts = new Map();
    for (const pair of pairs) {
      await warm?.(pair);
      let count = first;
      for (let i = 0; i < warmups; i++) {
        const { rate } = await trial(pair, count);
        if (rate !== undefined) count = sized((rate / pair.handlers) * seconds);
      }
      counts.set(pair, count);
    }
    const results = Object.fromEntries(pairs.map(({ key }) => [key, []]));
    for (let round = 0; round < rounds; round++) {
      for (const pair of round % 2 === 0 ? pairs : [...pairs].reverse()) {
        results[pair.key].push(await trial(pair, counts.get(pair)));
      }
      say(`round ${round + 1} of ${rounds}: ${summary(results)}`);
    }
    return results;
  } finally {
    await Promise.all(pairs.map((pair) => pair.close()));
  }
}

const sized = (count) => Math.min(LARGEST_TRIAL, Math.max(SMALLEST_TRIAL, Math.round(count / 1_000) * 1_000));

const summary = (results) =>
  Object.entries(results)
    .filter(([, trials]) => trials.at(-1).rate !== undefined)
    .map(([key, trials]) => `${key} ${Math.round(trials.at(-1).rate / 100) / 10}k/s`)
    .join(', ');
