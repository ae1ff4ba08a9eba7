const ZERO = 48;
/** `0000-00-00T00:00:00.000Z`, as `toISOString` writes the years 0 to 9999: where its digits are not. */
const LENGTH = 24;
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * The last one that was read, and the last one that was written: the events of one moment share theirs. A text may have been cut
 * out of a larger one, which is kept with it: one.
 */
const read: { time: number | undefined; text: string } = { time: undefined, text: '' };
const written = { time: Number.NaN, text: '' };

/**
 * Milliseconds since the epoch of a time as `Date.prototype.toISOString` writes it; `undefined` of any other text, and of
 * a day its month does not have. A quarter of what `new Date(text)` costs, which reads every other form too.
 */
export function parseIsoTime(text: string): number | undefined {
  if (text === read.text) return read.time;
  const time = parsed(text);
  if (time === undefined) return undefined;
  read.time = time;
  read.text = text;
  return time;
}

function parsed(text: string): number | undefined {
  if (
    text.length !== LENGTH ||
    text.charCodeAt(4) !== 45 ||
    text.charCodeAt(7) !== 45 ||
    text.charCodeAt(10) !== 84 ||
    text.charCodeAt(13) !== 58 ||
    text.charCodeAt(16) !== 58 ||
    text.charCodeAt(19) !== 46 ||
    text.charCodeAt(23) !== 90
  ) {
    return undefined;
  }
  const year = 100 * two(text, 0) + two(text, 2);
  const month = two(text, 5);
  const day = two(text, 8);
  const hour = two(text, 11);
  const minute = two(text, 14);
  const second = two(text, 17);
  const ms = 10 * two(text, 20) + digit(text, 22);
  // NaN, of what is no digit, is in no range. Years before 100 are rare, and `Date.UTC` takes them for others.
  const inRange =
    year >= 100 &&
    month >= 1 &&
    month <= 12 &&
    day >= 1 &&
    day <= (DAYS[month - 1] as number) &&
    hour <= 23 &&
    minute <= 59 &&
    second <= 59 &&
    ms <= 999;
  if (!inRange || (month === 2 && day === 29 && !isLeap(year))) return undefined;
  return Date.UTC(year, month - 1, day, hour, minute, second, ms);
}

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);

const two = (text: string, at: number): number => 10 * digit(text, at) + digit(text, at + 1);

function digit(text: string, at: number): number {
  const value = text.charCodeAt(at) - ZERO;
  return value >= 0 && value <= 9 ? value : Number.NaN;
}

// As they are at the start: a test may put another Date in their place.
const { getTime, toISOString } = Date.prototype as unknown as {
  readonly getTime: (this: Date) => number;
  readonly toISOString: (this: Date) => string;
};

/** As `toISOString` of the language writes it, whatever a class of its own does; `undefined` of an invalid Date. */
export function formatIsoTime(date: Date): string | undefined {
  const time = getTime.call(date);
  if (Number.isNaN(time)) return undefined;
  if (time !== written.time) {
    written.text = toISOString.call(date);
    written.time = time;
  }
  return written.text;
}
