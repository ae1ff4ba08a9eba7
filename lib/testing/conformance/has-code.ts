import { EventsError, type EventsErrorCode } from '../../core/errors';

/** For `assert.rejects`: whether it is an error of this package with this code. */
export const hasCode =
  (code: EventsErrorCode) =>
  (error: unknown): boolean =>
    error instanceof EventsError && error.code === code;
