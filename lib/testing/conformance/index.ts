import { backPressure } from './back-pressure';
import type { Chapter } from './chapter';
import { deadLetterService } from './dead-letter-service';
import { deadLetters } from './dead-letters';
import { delivery } from './delivery';
import { Harness } from './harness';
import { lifecycle } from './lifecycle';
import { limits } from './limits';
import { redriveRequests } from './redrive-requests';
import { redrives } from './redrives';
import { retries } from './retries';
import { testRunner } from './runner';
import { storage } from './storage';
import { subscriptions } from './subscriptions';
import type { TransportFeatures, TransportUnderTest } from './transport-under-test';
import { wire } from './wire';

export type { StoredDeadLetter, TransportFeatures, TransportUnderTest } from './transport-under-test';

const TEST_TIMEOUT = 60_000;

const CHAPTERS: Readonly<Record<string, Chapter>> = {
  delivery,
  storage,
  subscriptions,
  retries,
  limits,
  'back-pressure': backPressure,
  'dead letters': deadLetters,
  'dead-letter service': deadLetterService,
  redrives,
  'redrive requests': redriveRequests,
  wire,
  'life cycle': lifecycle,
};

/**
 * The contract of `EventTransport` as tests. Call it at the top level of a test file of any runner that has `describe`
 * and `it` as globals. Events take the whole way of a service, from `emit` to the handler, so that what passes here
 * behaves the same in an application.
 *
 * ```ts
 * transportConformance('my transport', { durable: true, deadLetters: true }, async () => {
 *   const broker = await startMyBroker();
 *   return {
 *     create: (app) => createMyTransport({ broker, app }),
 *     deadLetters: () => broker.deadLetters(),
 *     dispose: () => broker.stop(),
 *   };
 * });
 * ```
 * @param setup called before each test; it gives the test a broker, or a corner of one, of its own
 */
export function transportConformance(
  name: string,
  features: TransportFeatures,
  setup: () => Promise<TransportUnderTest>,
): void {
  const { describe, it } = testRunner();
  describe(`${name}: transport conformance`, () => {
    for (const [title, chapter] of Object.entries(CHAPTERS)) {
      const tests: [string, (harness: Harness) => Promise<void>][] = [];
      chapter((behaviour, body) => tests.push([behaviour, body]), features);
      // Some runners fail a group without tests.
      if (tests.length === 0) continue;
      describe(title, () => {
        for (const [behaviour, body] of tests) it(behaviour, () => run(setup, features, body), TEST_TIMEOUT);
      });
    }
  });
}

async function run(
  setup: () => Promise<TransportUnderTest>,
  features: TransportFeatures,
  body: (harness: Harness) => Promise<void>,
): Promise<void> {
  const harness = new Harness(await setup(), features);
  const [outcome] = await Promise.allSettled([body(harness)]);
  const [ending] = await Promise.allSettled([harness.end()]);
  // The test's own failure says more than what follows from it.
  for (const result of [outcome, ending]) if (result.status === 'rejected') throw result.reason;
}
