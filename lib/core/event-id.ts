const MAX_LENGTH = 256;
const CONTROL = /\p{Cc}/u;

/** Which values `id`, `correlationId` and `causationId` may have. Completes "must be …". */
export const ID_RULE = `a string of 1 to ${MAX_LENGTH} characters, without control characters`;

export const isEventId = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= MAX_LENGTH && !CONTROL.test(value);
