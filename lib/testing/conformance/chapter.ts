import type { Harness } from './harness';
import type { TransportFeatures } from './transport-under-test';

/** Declares one test, with a harness of its own. */
export type Test = (title: string, body: (harness: Harness) => Promise<void>) => void;

/** One chapter of the suite: declares the tests that a transport with these features has to pass. */
export type Chapter = (test: Test, features: TransportFeatures) => void;
