import { EventsConfigurationError } from '../../core/errors';

const DAY = 24 * 60 * 60 * 1000;

/**
 * What a cluster of a memory broker keeps. Settled events stay, as in a JetStream stream with limits retention, until
 * one of the limits drops the oldest. The first application of a cluster decides.
 */
export interface MemoryStreamOptions {
  /** Milliseconds an event is kept; checked when the next one arrives. Default: 7 days. */
  maxAge?: number;
  /** Milliseconds in which a message id is recognised, among the last `maxMessages` ids. Default: 2 minutes. */
  duplicateWindow?: number;
  /** Bytes of body and headers together, of which `publish` keeps 4096 in reserve. Default: 1 MiB. */
  maxPayload?: number;
  /** Events kept at most. Default: 100,000. */
  maxMessages?: number;
  /** Bytes of bodies and headers kept at most. Default: 256 MiB. */
  maxBytes?: number;
}

export type StreamLimits = Readonly<Required<MemoryStreamOptions>>;

const DEFAULTS: StreamLimits = Object.freeze({
  maxAge: 7 * DAY,
  duplicateWindow: 120_000,
  maxPayload: 1024 * 1024,
  maxMessages: 100_000,
  maxBytes: 256 * 1024 * 1024,
});

/** Dead letters are kept longer than events. */
export const DEAD_LETTER_MAX_AGE = 30 * DAY;

/** @throws EventsConfigurationError naming the option */
export function resolveStreamOptions(options: MemoryStreamOptions = {}): StreamLimits {
  const limits = { ...DEFAULTS };
  for (const key of Object.keys(DEFAULTS) as (keyof StreamLimits)[]) {
    const value = options[key];
    if (value === undefined) continue;
    if (typeof value !== 'number' || !(value > 0)) {
      throw new EventsConfigurationError(
        `stream.${key}`,
        `\`stream.${key}\` must be a number above 0, got ${value}`,
      );
    }
    limits[key] = value;
  }
  return Object.freeze(limits);
}
