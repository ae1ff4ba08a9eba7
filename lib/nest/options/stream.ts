import { EventsConfigurationError } from '../../core/errors';
import type { StreamLimits, StreamOptions } from './options';
import { integer, limit, milliseconds, object, oneOf } from '../../core/checks';
import { readSettings, valuesOf, type Check, type Settings } from '../../core/settings';

/** The limits of one stream. */
export interface ResolvedStream {
  /** What the service set: the only part that is compared with an existing stream. */
  readonly explicit: Readonly<StreamLimits>;
  /** What a stream is created with. */
  readonly effective: Readonly<Required<StreamLimits>>;
}

export interface ResolvedStreamOptions extends ResolvedStream {
  readonly manage: boolean | 'update';
  readonly deadLetter: ResolvedStream;
}

const DAY = 24 * 3_600_000;
const CENTURY = 36_525 * DAY; // in nanoseconds, the server's unit, it still fits 64 bits
const MAX = Number.MAX_SAFE_INTEGER;

const LIMITS = {
  storage: oneOf('file', 'memory'),
  replicas: integer(1, 5),
  maxAge: limit('whole milliseconds', 100, 0, CENTURY),
  maxBytes: limit('an integer', 1, -1, MAX),
  maxMessages: limit('an integer', 1, -1, MAX),
  duplicateWindow: milliseconds(100, CENTURY),
  discard: { ...oneOf('new'), allowed: "'new': another policy would drop stored events in silence" },
} satisfies Record<keyof StreamLimits, Check<unknown>>;

const STREAM = {
  ...LIMITS,
  manage: oneOf<boolean | 'update'>(true, false, 'update'),
  deadLetter: object,
} satisfies Record<keyof StreamOptions, Check<unknown>>;

const DEFAULTS: Required<StreamLimits> = {
  storage: 'file',
  replicas: 1,
  maxAge: 7 * DAY,
  maxBytes: -1,
  maxMessages: -1,
  duplicateWindow: 120_000,
  discard: 'new',
};

/** @throws EventsConfigurationError naming the option */
export function resolveStream(options: unknown): ResolvedStreamOptions {
  const { manage, deadLetter, ...limits } = readSettings('stream', options, {}, STREAM);
  const events = resolveLimits(limits, DEFAULTS);
  // A dead letter is not to be less safe than the event it was.
  const { storage, replicas } = events.effective;
  const deadLetters = readSettings('stream.deadLetter', deadLetter?.value, {}, LIMITS);
  return Object.freeze({
    ...events,
    manage: manage?.value ?? true,
    deadLetter: resolveLimits(deadLetters, { ...DEFAULTS, storage, replicas, maxAge: 30 * DAY }),
  });
}

function resolveLimits(settings: Settings<typeof LIMITS>, defaults: Required<StreamLimits>): ResolvedStream {
  const explicit = valuesOf(settings);
  const effective = { ...defaults, ...explicit };
  const { maxAge, duplicateWindow } = effective;
  // The server refuses a window longer than the events live.
  if (maxAge !== 0 && duplicateWindow > maxAge) {
    if (settings.duplicateWindow !== undefined) {
      const { from } = settings.duplicateWindow;
      const other = from.replace('duplicateWindow', 'maxAge');
      throw new EventsConfigurationError(
        from,
        `\`${from}\` (${duplicateWindow} ms) must not exceed \`${other}\` (${maxAge} ms)`,
      );
    }
    effective.duplicateWindow = maxAge;
  }
  return Object.freeze({ explicit: Object.freeze(explicit), effective: Object.freeze(effective) });
}
