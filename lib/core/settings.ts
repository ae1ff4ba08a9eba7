import { EventsConfigurationError } from './errors';
import { quote } from './event-name';
import { nearest } from './nearest';

/** The variables that options may come from: `process.env`, or what a test passes. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** For options that have no variables. */
export const NO_ENVIRONMENT: Environment = Object.freeze({});

/** What is read where nobody could have set anything. */
export const NO_SETTINGS = Object.freeze({});

/** A value that somebody set, and where. */
export interface Setting<T> {
  readonly value: T;
  /** The path of the option or the name of the variable. */
  readonly from: string;
  readonly level: 'option' | 'environment';
}

/** Which values an option takes. */
export interface Check<T> {
  /** Completes "must be …". */
  readonly allowed: string;
  readonly accepts: (value: unknown) => value is T;
  /** The value that the text of a variable stands for; text that stands for none is returned as it is. */
  readonly parse?: (text: string) => unknown;
  /** Never quoted in a message. */
  readonly secret?: boolean;
  /** The variable that can carry the option. */
  readonly variable?: string;
}

type Checks = Readonly<Record<string, Check<unknown>>>;
export type Settings<C extends Checks> = {
  readonly [K in keyof C]?: C[K] extends Check<infer T> ? Setting<T> : never;
};
export type Values<C extends Checks> = { readonly [K in keyof C]?: C[K] extends Check<infer T> ? T : never };

/**
 * Reads one object of options, each value once: the option, else its variable, else nothing.
 * @param path of the object, `''` for the outermost
 * @throws EventsConfigurationError for an unknown option or a value that its check does not accept
 */
export function readSettings<C extends Checks>(
  path: string,
  options: unknown,
  env: Environment,
  checks: C,
): Settings<C> {
  const given: unknown = options === undefined ? {} : options;
  if (!isObject(given)) throw wrong(path || 'options', 'an object', given);
  const keys = Object.keys(given);
  // Most handlers have no options: for a thousand of them, looking for each left 1.6 MB of garbage.
  if (keys.length === 0 && env === NO_ENVIRONMENT) return NO_SETTINGS;
  for (const key of keys) {
    if (!Object.hasOwn(checks, key)) throw unknownOption(path, key, Object.keys(checks));
  }
  const settings: Record<string, Setting<unknown>> = {};
  for (const [key, check] of Object.entries(checks)) {
    const value = given[key];
    const setting: Setting<unknown> | undefined =
      value !== undefined ? { value, from: join(path, key), level: 'option' } : readVariable(env, check);
    if (setting === undefined) continue;
    if (!check.accepts(setting.value)) throw wrong(setting.from, check.allowed, setting.value, check.secret);
    settings[key] = setting;
  }
  return settings as Settings<C>;
}

/** The values without where they came from; what was not set is absent. */
export function valuesOf<C extends Checks>(settings: Settings<C>): Values<C> {
  // Of most handlers.
  if (settings === NO_SETTINGS) return NO_SETTINGS;
  const entries = Object.entries(settings as Record<string, Setting<unknown>>);
  return Object.fromEntries(entries.map(([key, { value }]) => [key, value])) as Values<C>;
}

/** The error for a value that is not allowed: names what carried it, what is allowed, and the value unless it is secret. */
export const wrong = (
  from: string,
  allowed: string,
  value: unknown,
  secret = false,
): EventsConfigurationError =>
  new EventsConfigurationError(
    from,
    `\`${from}\` must be ${allowed}; got ${secret ? `a ${typeof value} (not shown)` : describe(value)}`,
  );

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** An object literal, of any realm; not a Map, a Date or an instance of another class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (!isObject(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function readVariable(
  env: Environment,
  { variable, parse, secret }: Check<unknown>,
): Setting<unknown> | undefined {
  const text = variable === undefined ? undefined : env[variable];
  if (variable === undefined || text === undefined || text.trim() === '') return undefined;
  const trimmed = secret ? text : text.trim();
  return { value: parse ? parse(trimmed) : trimmed, from: variable, level: 'environment' };
}

export function unknownOption(path: string, key: string, known: readonly string[]): EventsConfigurationError {
  const option = join(path, key);
  const meant = nearest(key, known);
  const hint =
    meant === undefined ? `known are ${known.join(', ')}` : `did you mean \`${join(path, meant)}\`?`;
  return new EventsConfigurationError(option, `unknown option \`${option}\`; ${hint}`);
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

function describe(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  return String(value);
}
