/** The event every contender sends: 198 bytes of JSON, one Date in it. */
export const EVENT_NAME = 'user.created';

/** Numbers start here, so that they all take as many bytes. */
export const FIRST_NUMBER = 100_000;

/**
 * @param {number} index 0 for the first of a trial
 * @param {{ padding?: number, sentAt?: number }} [more] bytes of text to add; a stamp for latencies
 */
export function eventOf(index, { padding = 0, sentAt } = {}) {
  const event = {
    number: FIRST_NUMBER + index,
    userId: 'user-7f9c2ba4e88f1',
    email: 'ada@lovelace.org',
    name: { first: 'Ada', last: 'Lovelace' },
    roles: ['owner', 'billing'],
    timestamp: new Date(),
    verified: true,
  };
  if (padding > 0) event.padding = 'x'.repeat(padding);
  if (sentAt !== undefined) event.sentAt = sentAt;
  return event;
}

export const indexOf = (event) => event.number - FIRST_NUMBER;
