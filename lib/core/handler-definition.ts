import { types } from 'node:util';
import { flag, integer, milliseconds, object, oneOf, text } from './checks';
import { CIRCUIT_BREAKER_CHECKS, type CircuitBreakerOptions } from './circuit-breaker';
import type { EventContract } from './contract';
import { EventsConfigurationError, EventsError } from './errors';
import { assertPattern, isPattern, isWildcard, overlap } from './event-name';
import type { EventHandler } from './event-map';
import { sanitize, wildcardDurable } from './names';
import { mergeRetry, RETRY_CHECKS, type RetryPolicy } from './retry-policy';
import { NO_ENVIRONMENT, NO_SETTINGS, readSettings, valuesOf, type Check } from './settings';
import type { DeliveryMode, StartFrom, SubscriptionSpec } from './transport';

/** How one handler is subscribed. What is left out comes from the module's options. */
export interface SubscribeOptions {
  /** Identity of the handler, part of the durable's name. Default: `Class.method`, or the pattern of a `subscribe`. */
  name?: string;
  /** `durable` or `ephemeral`. Default: the module's `delivery`. */
  delivery?: DeliveryMode;
  /** Every instance of the service gets each event, not one of them. Default: `false`. */
  broadcast?: boolean;
  /** Where a durable starts, at its creation only. Default: `'new'`, from when this service connected. */
  startFrom?: StartFrom;
  /**
   * Event names or patterns that earlier versions of the handler took and that no version handles any more: its durable stops
   * taking them when the handler is bound. Default: none; the durable goes on taking them.
   */
  removed?: readonly string[];
  /** Merged over the module's `retry`. */
  retry?: Partial<RetryPolicy>;
  /** Events handled at once by this subscription in this process. Default: the module's `concurrency`, 100. */
  concurrency?: number;
  /** Milliseconds a handler may take. Default: the module's `handlerTimeout`, 30000. */
  timeout?: number;
  /** Pauses consumption while everything fails. Default: off. */
  circuitBreaker?: CircuitBreakerOptions;
}

/** A handler, before it is bound. `@OnEvent` and `EventService.subscribe` both end here. */
export interface HandlerDefinition {
  /** Identity, e.g. `Notifications.welcome`. */
  readonly name: string;
  readonly patterns: readonly string[];
  readonly handler: EventHandler;
  /** What its results stand for, if there is more to wait for than promises (an Observable). Default: themselves. */
  readonly resultOf?: (result: unknown) => unknown;
  readonly options: SubscribeOptions;
  /** Contracts that stood for names among the patterns. Default: none. */
  readonly contracts?: readonly EventContract[] | undefined;
}

/** Where a definition of this package's own has its identity, so that it is not made of its name once more. */
export const IDENTITY = Symbol('identity');

/** A definition whose name has been made a token of a durable's name: `sanitize(name)`. */
export interface IdentifiedHandler extends HandlerDefinition {
  readonly [IDENTITY]: string;
}

/** As durables are called after it, and by which two handlers of one service collide. */
export const identityOf = (definition: HandlerDefinition): string =>
  (definition as Partial<IdentifiedHandler>)[IDENTITY] ?? sanitize(definition.name);

export interface SubscriptionDefaults {
  readonly app: string;
  readonly delivery: DeliveryMode;
  readonly retry: RetryPolicy;
  readonly concurrency: number;
  /** Milliseconds. */
  readonly timeout: number;
}

const START: Check<StartFrom> = {
  allowed: "'new', 'first' or a valid Date",
  accepts: (value): value is StartFrom =>
    value === 'new' || value === 'first' || (types.isDate(value) && !Number.isNaN(value.getTime())),
};

const REMOVED: Check<readonly string[]> = {
  allowed: 'a list of event names or patterns',
  accepts: (value): value is readonly string[] =>
    Array.isArray(value) && value.every((each) => typeof each === 'string' && isPattern(each)),
};

const OPTIONS = {
  name: text,
  delivery: oneOf('durable', 'ephemeral'),
  broadcast: flag,
  startFrom: START,
  removed: REMOVED,
  retry: object,
  concurrency: integer(1, 10_000),
  timeout: milliseconds(),
  circuitBreaker: object,
} satisfies Record<keyof SubscribeOptions, Check<unknown>>;

export interface ResolvedSubscribeOptions extends Readonly<
  Required<Omit<SubscribeOptions, 'name' | 'retry' | 'circuitBreaker'>>
> {
  readonly retry: RetryPolicy;
  readonly circuitBreaker: CircuitBreakerOptions | undefined;
}

const NONE: readonly string[] = Object.freeze([]);

/** What holds for a handler that has no options. */
export const resolveSubscriptionDefaults = ({
  delivery,
  retry,
  concurrency,
  timeout,
}: SubscriptionDefaults): ResolvedSubscribeOptions => ({
  broadcast: false,
  startFrom: 'new',
  removed: NONE,
  delivery,
  concurrency,
  timeout,
  retry: mergeRetry(retry, {}),
  circuitBreaker: undefined,
});

/**
 * The options of a handler with what the module says where they are silent.
 * @throws EventsConfigurationError naming the handler and the option
 */
export function resolveSubscribeOptions(
  { name, options }: HandlerDefinition,
  defaults: ResolvedSubscribeOptions,
): ResolvedSubscribeOptions {
  // Most handlers have none.
  if (options === NO_SETTINGS) return defaults;
  const settings = readSettings(name, options, NO_ENVIRONMENT, OPTIONS);
  if (settings === NO_SETTINGS) return defaults;
  const { name: _identity, ...values } = valuesOf(settings);
  const retry =
    options.retry === undefined
      ? {}
      : valuesOf(readSettings(`${name}.retry`, options.retry, NO_ENVIRONMENT, RETRY_CHECKS));
  return {
    ...defaults,
    ...values,
    retry: mergeRetry(defaults.retry, retry),
    circuitBreaker:
      options.circuitBreaker === undefined ? undefined : circuitBreakerOf(name, options.circuitBreaker),
  };
}

function circuitBreakerOf(name: string, given: CircuitBreakerOptions): CircuitBreakerOptions {
  const path = `${name}.circuitBreaker`;
  const { threshold, window, pause } = valuesOf(readSettings(path, given, {}, CIRCUIT_BREAKER_CHECKS));
  if (threshold !== undefined && window !== undefined && pause !== undefined)
    return { threshold, window, pause };
  throw new EventsConfigurationError(
    path,
    `\`${path}\` needs all of \`threshold\`, \`window\` (ms) and \`pause\` (ms)`,
  );
}

/**
 * What the broker has to know of one handler.
 * @param durable of its exact names, as `durableName` says it
 * @throws EventsError `invalid_pattern` naming the handler
 */
export function specOf(
  { name, patterns }: HandlerDefinition,
  app: string,
  durable: string,
  options: Pick<
    ResolvedSubscribeOptions,
    'delivery' | 'broadcast' | 'startFrom' | 'removed' | 'concurrency' | 'retry'
  >,
): SubscriptionSpec {
  if (patterns.length === 0) throw new EventsError('invalid_pattern', `handler '${name}' names no event`);
  for (let i = 0; i < patterns.length; i++) assertListens(name, patterns, i);

  const { delivery, broadcast, startFrom, removed, concurrency, retry } = options;
  const kept = removed.find((each) => patterns.some((pattern) => overlap(pattern, each)));
  if (kept !== undefined) {
    throw new EventsConfigurationError(
      `${name}.removed`,
      `handler '${name}' still listens to '${kept}', which is in its \`removed\`: take it out of one of them`,
    );
  }
  return {
    app,
    handler: name,
    durable,
    patterns,
    delivery,
    broadcast,
    startFrom,
    removed,
    concurrency,
    maxDeliveries: retry.attempts + 1,
  };
}

/**
 * The broker subscriptions of a handler that listens to wildcards: its exact names share one, each wildcard has its own,
 * since a server filters a mixture of both slowly.
 */
export function withoutMixture(spec: SubscriptionSpec): SubscriptionSpec[] {
  const { patterns, durable } = spec;
  const exact = patterns.filter((pattern) => !isWildcard(pattern));
  return [
    ...(exact.length === 0 ? [] : [{ ...spec, patterns: exact }]),
    ...patterns
      .filter(isWildcard)
      .map((pattern) => ({ ...spec, patterns: [pattern], durable: wildcardDurable(durable, pattern) })),
  ];
}

/** Whether the pattern at this place can be listened to, besides those before it. */
function assertListens(name: string, patterns: readonly string[], place: number): void {
  const pattern = patterns[place] as string;
  try {
    assertPattern(pattern);
  } catch (error) {
    throw new EventsError('invalid_pattern', `handler '${name}': ${(error as Error).message}`);
  }
  if (place > 0) assertApart(name, patterns.slice(0, place), pattern);
}

function assertApart(name: string, earlier: readonly string[], pattern: string): void {
  const twice = earlier.find((each) => overlap(each, pattern));
  if (twice === undefined) return;
  throw new EventsError(
    'invalid_pattern',
    `handler '${name}' would receive some events twice: '${twice}' and '${pattern}' overlap; remove one of them`,
  );
}
