import { isObject, type Check } from './settings';

/** The kinds of values that options take. */

/** The longest time a timer of Node can wait; a longer one would fire at once. */
const MAX_TIMER = 2 ** 31 - 1;

const parseNumber = (text: string): unknown => (/^[+-]?\d+$/.test(text) ? Number(text) : text);
const isIntegerIn = (value: unknown, min: number, max: number): value is number =>
  Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;

export const integer = (min: number, max: number): Check<number> => ({
  allowed: `an integer from ${min} to ${max}`,
  accepts: (value): value is number => isIntegerIn(value, min, max),
  parse: parseNumber,
});

/** Whole milliseconds that a timer can wait. */
export const milliseconds = (min = 1, max = MAX_TIMER): Check<number> => ({
  ...integer(min, max),
  allowed: `whole milliseconds from ${min} to ${max}`,
});

/** An integer of at least `min`, or one value that stands for no limit. */
export const limit = (unit: string, min: number, unlimited: number, max: number): Check<number> => ({
  allowed: `${unit} from ${min} to ${max}, or ${unlimited} for no limit`,
  accepts: (value): value is number => value === unlimited || isIntegerIn(value, min, max),
});

export const share: Check<number> = {
  allowed: 'a number from 0 to 1',
  accepts: (value): value is number => typeof value === 'number' && value >= 0 && value <= 1,
};

export const flag: Check<boolean> = {
  allowed: 'true or false',
  accepts: (value): value is boolean => typeof value === 'boolean',
  parse: (text) => (/^(?:true|1)$/i.test(text) ? true : /^(?:false|0)$/i.test(text) ? false : text),
};

export const oneOf = <const T extends string | boolean>(...values: readonly T[]): Check<T> => ({
  allowed: values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))).join(' or '),
  accepts: (value): value is T => (values as readonly unknown[]).includes(value),
});

/** Text with at least one visible character. */
export const text: Check<string> = {
  allowed: 'text that is not blank',
  accepts: (value): value is string => typeof value === 'string' && value.trim() !== '',
};

export const secret: Check<string> = {
  allowed: 'text that is not empty',
  accepts: (value): value is string => typeof value === 'string' && value !== '',
  secret: true,
};

/** Signs of a secret where a path is meant: text of a file, an nkey seed however it is quoted or broken, a token of a credentials file. */
const isContent = (value: string): boolean =>
  /[\r\n\0]|-----BEGIN|\beyJ[\w-]{20,}\./.test(value) || SEED_WITHIN.test(value.replace(/[\s'"`,;]/g, ''));
// Files are named after public keys, which begin with another letter.
const SEED_WITHIN = /(?<![A-Z2-7])S[UAOCNX][A-Z2-7]{30,}/;

/** Marked secret, because what is given by mistake is the content of the file. */
export const filePath: Check<string> = {
  allowed: 'the path of a file, not its content',
  accepts: (value): value is string => text.accepts(value) && !isContent(value),
  parse: (path) => path.trim(),
  secret: true,
};

export const pem: Check<string> = {
  allowed: 'PEM text ("-----BEGIN …"), not a path; paths go into `caFile`, `certFile` and `keyFile`',
  accepts: (value): value is string => typeof value === 'string' && value.includes('-----BEGIN'),
  secret: true,
};

export const object: Check<Record<string, unknown>> = { allowed: 'an object', accepts: isObject };

/** For what has a resolver of its own. */
export const anything: Check<unknown> = { allowed: 'anything', accepts: (_value): _value is unknown => true };

export const from = <T>(variable: string, check: Check<T>): Check<T> => ({ ...check, variable });
