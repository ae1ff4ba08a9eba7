import { Pair } from '../harness/pair.mjs';
import { median } from '../harness/statistics.mjs';
import { having, OUR_STREAM, RAW_STREAM } from './contenders.mjs';

const EVENTS = 1_500;
const EVENT_BYTES = 198;

/** How the cost of a durable event grows: along `option`, the points of `x`. */
export const GROWTH = [
  {
    key: 'handlers',
    title: 'Cost of an event by the number of its handlers',
    label: 'handlers of the event, all in one service',
    points: [1, 4, 16],
    contenders: { '@venta/events': (handlers) => having(OUR_STREAM, { handlers }) },
  },
  {
    key: 'payload',
    title: 'Cost of an event by its size',
    label: 'bytes of JSON',
    points: [EVENT_BYTES, 4_096, 65_536],
    contenders: {
      '@venta/events': (bytes) => having(OUR_STREAM, { padding: paddingOf(bytes) }),
      'nats.js': (bytes) => having(RAW_STREAM, { padding: paddingOf(bytes) }),
    },
  },
  {
    key: 'in-flight',
    title: 'Cost of an event by the emits in flight',
    label: 'emits waiting for their confirmation at once',
    points: [1, 32, 1_024],
    contenders: {
      '@venta/events': (inFlight) => having(OUR_STREAM, { inFlight }),
      'nats.js': (inFlight) => having(RAW_STREAM, { inFlight }),
    },
  },
];

// `,"padding":""` is there too.
const paddingOf = (bytes) => Math.max(0, bytes - EVENT_BYTES - 13);

/**
 * @returns {Promise<Record<string, { x: number, seconds: number, publisher: number, subscriber: number, server?: number }[]>>}
 *   by contender: medians, the subscriber's for all handlers together
 */
export async function growth({ key, points, contenders }, server, { trials = 3, say = () => {} }) {
  const results = {};
  for (const [name, contender] of Object.entries(contenders)) {
    results[name] = [];
    for (const x of points) {
      results[name].push({ x, ...(await point(contender(x), server, trials, events(key, x))) });
    }
    say(`cost by ${key}, ${name}`);
  }
  return results;
}

// One at a time, or to many handlers, or large: fewer of them take as long.
const events = (key, x) => {
  if (key === 'in-flight') return x === 1 ? EVENTS / 4 : EVENTS;
  return key === 'handlers' ? Math.max(EVENTS / 4, EVENTS / x) : x > 16_384 ? EVENTS / 2 : EVENTS;
};

async function point(contender, server, trials, count) {
  const pair = await Pair.open(contender, server);
  try {
    await pair.trial(count);
    await pair.trial(count);
    const measured = [];
    for (let i = 0; i < trials; i++) measured.push(await pair.trial(count));
    const middle = (pick) => median(measured.map(pick));
    return {
      rate: middle(({ rate }) => rate),
      publisher: middle(({ publisher }) => publisher),
      subscriber: middle(({ subscriber }) => subscriber * pair.handlers),
      server: middle((each) => each.server),
    };
  } finally {
    await pair.close();
  }
}
