import { createHash } from 'node:crypto';
import { matches } from '../../core/event-name';
import type { Delivery, SubscriptionSpec } from '../../core/transport';
import type { ResolvedFailures } from './test-options';

/** Decides which attempts fail on purpose. Has no state: the same attempt has the same fate whenever it is asked for. */
export class DeliberateFailures {
  constructor(private readonly options: ResolvedFailures | undefined) {}

  /** Handlers that the test means. */
  get handlers(): readonly string[] {
    return this.options?.handlers ?? [];
  }

  /** What the attempt is to fail with, if it is. */
  of({ handler, durable }: SubscriptionSpec, { name, fallbackId, attempt }: Delivery): Error | undefined {
    if (this.options === undefined) return undefined;
    const { probability, seed, events, handlers } = this.options;
    if (handlers?.includes(handler) === false) return undefined;
    if (events?.some((pattern) => matches(pattern, name)) === false) return undefined;
    // An event's id is random; its place in the stream, without the time, is not.
    const place = fallbackId.replace(/-\d+$/, '');
    if (chance(JSON.stringify([seed, durable, place, attempt])) >= probability) return undefined;
    return new Error(
      `attempt ${attempt} of '${handler}' fails on purpose (\`test.fail\`, probability ${probability}, seed ${seed})`,
    );
  }
}

/** A number from 0 to 1, without 1, that the text alone decides. */
const chance = (text: string): number => createHash('sha256').update(text).digest().readUInt32BE() / 2 ** 32;
