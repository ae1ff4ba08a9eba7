import type { EventsLogger } from '../../lib/core/logger';

/** For tests whose handlers fail on purpose. */
export const silentLogger: EventsLogger = { error: () => {}, warn: () => {}, log: () => {}, debug: () => {} };
