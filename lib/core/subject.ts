import { EventsError } from './errors';

declare const checked: unique symbol;

/**
 * A subject that can stand in a line of the protocol: dot-separated tokens, none of them empty, without white space and control
 * characters. Only `asSubject` makes one.
 */
export type Subject = string & { readonly [checked]: true };

const UNSAFE = /[\x00-\x20\x7f-\x9f]/;
const EMPTY_TOKEN = /^\.|\.\.|\.$/;

/** White space or a control character would end the subject in a line of the protocol, and begin something else. */
export const isOneWord = (text: string): boolean => text !== '' && !UNSAFE.test(text);

/** Whether the text is a subject. Wildcards are allowed, as in a filter. */
export const isSubject = (text: string): text is Subject => isOneWord(text) && !EMPTY_TOKEN.test(text);

/** @throws EventsError `invalid_event_name` for what is no subject */
export function asSubject(text: string): Subject {
  if (isSubject(text)) return text;
  throw new EventsError(
    'invalid_event_name',
    `${JSON.stringify(text.slice(0, 60))} is no subject: dot-separated tokens are allowed, without white space and control characters`,
  );
}
