import { EventsError } from './errors';
import { cut, printable } from './printable';
import { TextMemo } from './text-memo';

export const MAX_EVENT_NAME_LENGTH = 200;

const NAME = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
const PATTERN = /^(?:[A-Za-z0-9_-]+|\*)(?:\.(?:[A-Za-z0-9_-]+|\*))*(?:\.>)?$/;
const GRAMMAR = 'dot-separated tokens of letters, digits, "_" and "-" such as "user.created"';

// What is quoted back may come from anywhere: cut, and made safe to print.
export const quote = (value: unknown): string =>
  typeof value === 'string' ? printable(JSON.stringify(cut(value, 61))) : String(typeof value);

/** Each emit asks twice, and looking one up takes a third of testing it. */
const known = new TextMemo<true>();

/** @throws EventsError `invalid_event_name`. A name is part of a subject, and a subject reaches the wire verbatim. */
export function assertEventName(name: unknown): asserts name is string {
  if (typeof name === 'string') {
    if (known.get(name) === true) return;
    if (name.length <= MAX_EVENT_NAME_LENGTH && NAME.test(name)) return void known.set(name, true);
  }
  const why =
    typeof name === 'string' && name.length > MAX_EVENT_NAME_LENGTH
      ? `it has ${name.length} characters, ${MAX_EVENT_NAME_LENGTH} are allowed`
      : `a name is ${GRAMMAR}`;
  throw new EventsError('invalid_event_name', `invalid event name ${quote(name)}: ${why}`);
}

export const isPattern = (text: string): boolean =>
  text.length <= MAX_EVENT_NAME_LENGTH && (text === '>' || PATTERN.test(text));

/**
 * A name, or a name in which `*` stands for one token and a last `>` for one or more.
 * @throws EventsError `invalid_pattern`
 */
export function assertPattern(pattern: unknown): asserts pattern is string {
  if (typeof pattern === 'string' && isPattern(pattern)) return;
  throw new EventsError(
    'invalid_pattern',
    `invalid event name or pattern ${quote(pattern)}: it is ${GRAMMAR}; ` +
      `"*" stands for one whole token and ">" for one or more at the end ("user.*", "vendor.>")`,
  );
}

export const isWildcard = (pattern: string): boolean => pattern.includes('*') || pattern.endsWith('>');

/** Whether an event of this name is one of those the pattern means. */
export function matches(pattern: string, name: string): boolean {
  if (!isWildcard(pattern)) return pattern === name;
  const p = pattern.split('.');
  const n = name.split('.');
  for (let i = 0; i < p.length; i++) {
    if (p[i] === '>') return n.length > i;
    if (i >= n.length || (p[i] !== '*' && p[i] !== n[i])) return false;
  }
  return p.length === n.length;
}

/** Whether some event name matches both patterns. */
export function overlap(a: string, b: string): boolean {
  const p = a.split('.');
  const q = b.split('.');
  for (let i = 0; i < Math.max(p.length, q.length); i++) {
    if (p[i] === undefined || q[i] === undefined) return false;
    if (p[i] === '>' || q[i] === '>') return true;
    if (p[i] !== '*' && q[i] !== '*' && p[i] !== q[i]) return false;
  }
  return true;
}
