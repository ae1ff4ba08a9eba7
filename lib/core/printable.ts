/** Control characters, separators of lines, marks that turn the direction of writing. */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu;
/** The same, except for a line break before a line of a stack trace. */
const UNPRINTABLE_IN_LOG = /(?!\n {4}at )[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

const LONE_SURROGATE = /\p{Cs}/gu;

const MAX_TEXT = 2000;
const MAX_LOG_ENTRY = 10_000;

/**
 * Text from elsewhere on one line: what could break the line or steer a terminal becomes a space.
 * @param max characters, the rest is cut. Default: 2,000
 */
export const printable = (text: string, max = MAX_TEXT): string =>
  cut(text, max).replace(UNPRINTABLE, ' ').replace(LONE_SURROGATE, '\ufffd');

/** An entry of a log: at most 10,000 characters on one line, and the lines of a stack trace after it. */
export const printableEntry = (text: string): string =>
  cut(text, MAX_LOG_ENTRY).replace(UNPRINTABLE_IN_LOG, ' ').replace(LONE_SURROGATE, '\ufffd');

/** At most so many characters, the last of them `…` if some are missing; a surrogate pair stays whole. */
export function cut(text: string, max: number): string {
  if (text.length <= max) return text;
  const end = /[\ud800-\udbff]/.test(text.charAt(max - 2)) ? max - 2 : max - 1;
  return `${text.slice(0, end)}…`;
}
