import { types } from 'node:util';
import { flag, milliseconds, object, share } from '../../core/checks';
import { assertPattern } from '../../core/event-name';
import { readSettings, valuesOf, wrong, type Check } from '../../core/settings';

/** How events are treated in a test. */
export interface TestOptions {
  /**
   * Delivers every event to every handler a second time, after it was handled for the first time, as a broker does that has
   * not seen the acknowledgement. The second delivery counts as an attempt of its own. Default: `false`.
   */
  duplicate?: boolean;
  /** Makes attempts fail on purpose. Default: none. */
  fail?: FailOnPurpose;
  /** Milliseconds of real time in which events must settle before `settled` and `advance` give up. Default: 5000. */
  timeout?: number;
  /** What the clock shows at first. Default: the present. */
  now?: Date;
}

/**
 * Attempts that fail without their handler being called. Which ones depends on the seed, the handler, the place of the
 * event in the stream and the attempt, and on nothing else: whatever runs at the same time, it is the same every time as
 * long as events are emitted in the same order.
 */
export interface FailOnPurpose {
  /** Share of the attempts that fail, from 0 to 1. */
  probability: number;
  /** Another seed, other failures. Default: 1. */
  seed?: number;
  /** Only these events, by name or pattern. Default: all. */
  events?: readonly string[];
  /** Only these handlers, by identity, e.g. `Notifications.welcome`. Default: all. */
  handlers?: readonly string[];
}

export interface ResolvedTestOptions {
  readonly duplicate: boolean;
  readonly fail: ResolvedFailures | undefined;
  readonly timeout: number;
  readonly now: number;
}

export type ResolvedFailures = Readonly<Required<Omit<FailOnPurpose, 'events' | 'handlers'>>> & {
  readonly events: readonly string[] | undefined;
  readonly handlers: readonly string[] | undefined;
};

const listOf = (what: string, fits: (entry: unknown) => boolean): Check<readonly string[]> => ({
  allowed: `a list of ${what}`,
  accepts: (value): value is readonly string[] =>
    Array.isArray(value) && value.length > 0 && value.every(fits),
});

const isPattern = (value: unknown): boolean => {
  try {
    assertPattern(value);
    return true;
  } catch {
    return false;
  }
};

const CHECKS = {
  duplicate: flag,
  fail: object,
  timeout: milliseconds(),
  now: {
    allowed: 'a valid Date',
    accepts: (value): value is Date => types.isDate(value) && !Number.isNaN(value.getTime()),
  } as Check<Date>,
} satisfies Record<keyof TestOptions, Check<unknown>>;

const FAIL_CHECKS = {
  probability: share,
  seed: {
    allowed: 'a finite number',
    accepts: (value): value is number => Number.isFinite(value),
  } as Check<number>,
  events: listOf('event names or patterns', isPattern),
  handlers: listOf('names of handlers', (entry) => typeof entry === 'string' && entry !== ''),
} satisfies Record<keyof FailOnPurpose, Check<unknown>>;

/** @throws EventsConfigurationError naming the option */
export function resolveTestOptions(options: TestOptions = {}): ResolvedTestOptions {
  const { duplicate, fail, timeout, now } = valuesOf(readSettings('test', options, {}, CHECKS));
  return {
    duplicate: duplicate ?? false,
    fail: fail === undefined ? undefined : resolveFailures(fail),
    timeout: timeout ?? 5000,
    now: now?.getTime() ?? Date.now(),
  };
}

function resolveFailures(options: unknown): ResolvedFailures {
  const { probability, seed, events, handlers } = valuesOf(
    readSettings('test.fail', options, {}, FAIL_CHECKS),
  );
  if (probability === undefined) throw wrong('test.fail.probability', share.allowed, probability);
  return { probability, seed: seed ?? 1, events, handlers };
}
