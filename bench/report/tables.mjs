import { median, ratios, spread } from '../harness/statistics.mjs';

/** Markdown; Prettier aligns it. */
const table = (head, rows, left = 1) =>
  [head, head.map((_, i) => (i < left ? '---' : '---:')), ...rows]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');

export const digits = (value, count = 2) =>
  value === undefined || Number.isNaN(value)
    ? '–'
    : Math.abs(value) >= 100
      ? value.toFixed(0)
      : value.toFixed(count);

const range = ({ q1, median, q3 }, count) =>
  `**${digits(median, count)}** (${digits(q1, count)}–${digits(q3, count)})`;

export const machineLines = (facts) =>
  Object.entries(facts)
    .map(([name, value]) => `- ${name}: ${value}`)
    .join('\n');

/** Rates and processor times of contenders, as medians, and their rate by the base's. */
export function throughputTable(contenders, results, base = 'raw') {
  const rates = (key) => results[key].map(({ rate }) => rate);
  const middle = (key, pick) => digits(median(results[key].map(pick)), 1);
  const publishes = results[base][0].publisher !== undefined;
  const by = base === 'raw' ? 'by the base' : `by ${base}`;
  return table(
    ['', 'events/s', by, ...(publishes ? ['publisher, µs'] : []), 'subscriber, µs', 'server, µs'],
    contenders.map(({ key, title }) => [
      title,
      digits(median(rates(key)), 0),
      range(spread(ratios(rates(key), rates(base)))),
      ...(publishes ? [middle(key, ({ publisher }) => publisher)] : []),
      middle(key, ({ subscriber }) => subscriber),
      results[key][0].server === undefined ? '–' : middle(key, ({ server }) => server),
    ]),
  );
}

/** Latencies in microseconds, and their median by the base's. */
export function latencyTable(contenders, results, base = 'raw') {
  const of = (key, pick) => results[key].map(pick);
  return table(
    ['', 'p50, µs', 'p99, µs', 'p50 by the base'],
    contenders.map(({ key, title }) => [
      title,
      digits(median(of(key, ({ p50 }) => p50)), 0),
      digits(median(of(key, ({ p99 }) => p99)), 0),
      range(
        spread(
          ratios(
            of(key, ({ p50 }) => p50),
            of(base, ({ p50 }) => p50),
          ),
        ),
      ),
    ]),
  );
}

export const startUpTable = (results) =>
  startsTable(results, '1,000 handlers', [
    ['bare', 'the application, without this package'],
    ['without', 'package loaded, module not imported'],
    ['with', 'with the module on `memory://`'],
  ]);

export const touchedTable = (results) =>
  startsTable(results, 'the same in memory that was touched before', [
    ['withoutTouched', 'package loaded, module not imported'],
    ['withTouched', 'with the module on `memory://`'],
  ]);

/** @param {[variant: string, title: string][]} rows the last two are compared */
function startsTable(results, title, rows) {
  const [without, having] = rows.slice(-2).map(([variant]) => results[variant]);
  const columns = [
    ['loading, ms', ({ loading }) => loading],
    ['start, ms', ({ start }) => start],
    ['page faults', ({ faults }) => faults],
    ['RSS, MB', ({ rss }) => rss / 2 ** 20],
    ['heap, MB', ({ heap }) => heap / 2 ** 20],
  ];
  const added = columns.map(([, pick]) =>
    range(spread(having.map((each, round) => pick(each) - pick(without[round]))), 1),
  );
  return table(
    [title, ...columns.map(([name]) => name)],
    [
      ...rows.map(([variant, name]) => [
        name,
        ...columns.map(([, pick]) => digits(median(results[variant].map(pick)), 1)),
      ]),
      ['what the module adds, by the round', ...added],
    ],
  );
}

/** What a page of memory takes that is touched for the first time, which differs much from machine to machine. */
export const faultLine = (results) =>
  `A page fault: ${digits(median(results.with.map(({ perFault }) => perFault)), 1)} µs.`;

export const restartTable = ({ create, bind, idle }) =>
  table(
    ['1,000 handlers on a server', ''],
    [
      ['first start: durables created, ms', digits(create, 0)],
      ['restart: durables bound, ms', range(spread(bind), 0)],
      [`idle, processor time of the service per second, ms`, digits(idle?.client, 1)],
      [`idle, processor time of the server per second, ms`, digits(idle?.server, 1)],
    ],
  );

export const microTable = ({ parts, interceptor }) =>
  table(
    ['part', 'µs'],
    [
      ...Object.entries(parts).map(([part, value]) => [part, digits(value)]),
      ['one interceptor, the difference', range(interceptor)],
    ],
  );

export function heapTable(steps, events) {
  const megabytes = (value) => digits(value / 2 ** 20, 1);
  return table(
    ['events', 'publisher, MB', 'subscriber, MB'],
    steps.map(({ publisher, subscriber }, i) => [
      `${((i + 1) * events) / steps.length}`,
      megabytes(publisher),
      megabytes(subscriber),
    ]),
  );
}

/** What was in the process after each step of a soak. */
export const soakTable = ({ steps }) =>
  table(
    ['events', 'heap, MB', 'timers', 'handles', 'listeners', 'outlived their event'],
    steps.map(({ events, heap, timers, handles, listeners, kept }) => [
      events,
      digits(heap / 2 ** 20, 1),
      timers,
      handles,
      listeners,
      kept,
    ]),
  );

/** The base's rate by that of each other, where it has a goal beside that. */
export const timesTable = (contenders, results, base) =>
  table(
    ['', 'times its rate', 'goal', ''],
    contenders
      .filter(({ key }) => key !== base)
      .map(({ key, title, goal }) => {
        const rates = (of) => results[of].map(({ rate }) => rate);
        const times = spread(ratios(rates(base), rates(key)));
        if (goal === undefined) return [title, range(times), '', ''];
        return [title, range(times), `≥ ${goal}`, times.median >= goal ? 'reached' : 'NOT REACHED'];
      }),
  );

export const gatesTable = (judged) =>
  table(
    ['gate', 'limit', 'measured: median (quartiles)', ''],
    judged.map(({ name, least, most, unit, values, holds }) => [
      name,
      `${least === undefined ? `≤ ${most}` : `≥ ${least}`}${unit ? ` ${unit}` : ''}`,
      range(values),
      holds ? 'holds' : 'MISSED',
    ]),
    1,
  );

export const profileTable = (what, shares) =>
  table(
    [what, '%'],
    shares.map(([name, share]) => [`\`${name}\``, digits(share, 1)]),
  );
