import { types } from 'node:util';
import type { EventsErrorCode } from './errors';
import { cut, printable } from './printable';

/** Characters of one message, of a type or code, and of a message with all that caused it. */
const MAX_MESSAGE = 600;
const MAX_NAME = 100;
const MAX_TOTAL = 2000;
/** Causes behind one another, and errors within an AggregateError, that are named. */
const MAX_CAUSES = 5;
const MAX_INNER = 4;
const MAX_FRAMES = 30;
const MAX_FRAME = 300;

/** Codes of our own errors that their type or message tells already. */
const IMPLIED: ReadonlySet<unknown> = new Set<EventsErrorCode>([
  'validation_failed',
  'undecodable',
  'handler_timeout',
  'non_retryable',
  'retry_after',
]);

interface ErrorLike {
  readonly name?: unknown;
  readonly message: unknown;
  readonly stack?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
  readonly code?: unknown;
}

/**
 * An Error of any realm: test runners give each file its own `Error`, and what Node itself throws is not an instance of it.
 * @throws what a proxy or a getter throws
 */
function isErrorLike(thrown: unknown): thrown is ErrorLike {
  if (typeof thrown !== 'object' || thrown === null) return false;
  if (types.isNativeError(thrown) || thrown instanceof Error) return true;
  const { message, stack } = thrown as Partial<ErrorLike>;
  return typeof message === 'string' && typeof stack === 'string';
}

/** A thrown value as it is recorded; all of it is printable and bounded. */
export interface Thrown {
  /** Name of the error's class, or the type of a value that is no error. */
  readonly type: string;
  /** Its message and code, and those of its causes and inner errors. */
  readonly message: string;
}

/** Whatever was thrown, as it is recorded. Never throws. */
export function describeThrown(thrown: unknown): Thrown {
  try {
    if (isErrorLike(thrown)) {
      const message = new Description(thrown).text;
      return { type: typeOf(thrown), message: printable(message, MAX_TOTAL) };
    }
  } catch {
    // An error whose own properties throw.
  }
  return { type: typeof thrown, message: textOfValue(thrown, MAX_TOTAL) };
}

/** `Type: message`, with what caused it. Never throws. */
export function textOf(thrown: unknown): string {
  const { type, message } = describeThrown(thrown);
  return type === typeof thrown ? message : message === '' ? type : `${type}: ${message}`;
}

/** The frames of its stack, each on a line of its own after a line break; empty if it has none. Never throws. */
export function stackOf(thrown: unknown): string {
  try {
    if (!isErrorLike(thrown) || typeof thrown.stack !== 'string') return '';
    const { stack, message } = thrown;
    // The message stands in front, and may look like frames.
    const at = typeof message === 'string' ? stack.indexOf(message) : -1;
    const frames: string[] = [];
    for (const line of (at === -1 ? stack : stack.slice(at + String(message).length)).split('\n')) {
      if (frames.length === MAX_FRAMES) break;
      if (/^\s+at /.test(line)) frames.push(`\n    ${printable(line.trim(), MAX_FRAME)}`);
    }
    return frames.join('');
  } catch {
    return '';
  }
}

/** Many classes leave `name` as they inherit it; their own says more. */
function typeOf(error: ErrorLike): string {
  const constructor: unknown = (error as { constructor?: { name?: unknown } }).constructor?.name;
  const type = error.name === 'Error' && constructor ? constructor : error.name;
  return printable(String(type), MAX_NAME);
}

/** An error with what is behind it, each once. */
class Description {
  readonly text: string;
  readonly #seen = new Set<unknown>();
  #left = MAX_CAUSES;

  constructor(error: ErrorLike) {
    this.#seen.add(error);
    const behind = this.#behind(error);
    this.text = ownMessage(error, behind === '' ? MAX_TOTAL : MAX_MESSAGE) + behind;
  }

  #behind(error: ErrorLike): string {
    const inner: unknown[] = Array.isArray(error.errors) ? error.errors : [];
    let text = '';
    for (const [index, each] of inner.slice(0, MAX_INNER).entries()) {
      const one = this.#of(each);
      if (one !== '') text += `; ${index + 1} of ${inner.length}: ${one}`;
    }
    const { cause } = error;
    if (cause === undefined || cause === null) return text;
    const one = this.#of(cause, String(error.message));
    return one === '' || one.startsWith(';') ? text + one : `${text}; caused by ${one}`;
  }

  /** @param outer the message of the error around it; if that quotes it, only what is behind it is told */
  #of(thrown: unknown, outer = ''): string {
    if (this.#left === 0 || this.#seen.has(thrown)) return '';
    this.#left--;
    try {
      if (!isErrorLike(thrown)) return textOfValue(thrown, MAX_MESSAGE);
      this.#seen.add(thrown);
      const message = ownMessage(thrown, MAX_MESSAGE);
      if (message !== '' && outer.includes(message)) return this.#behind(thrown);
      return `${typeOf(thrown)}${message === '' ? '' : `: ${message}`}${this.#behind(thrown)}`;
    } catch {
      return UNSHOWABLE;
    }
  }
}

/** Its message, and its code where the message does not have it. */
function ownMessage({ message, code }: ErrorLike, max: number): string {
  const text = cut(typeof message === 'string' ? message : textOfValue(message ?? '', max), max);
  const isCode = (typeof code === 'string' && code !== '') || typeof code === 'number';
  if (!isCode || text.includes(String(code)) || IMPLIED.has(code)) return text;
  return `${text}${text === '' ? '' : ' '}(code ${cut(String(code), MAX_NAME)})`;
}

const UNSHOWABLE = 'a value that cannot be shown';

function textOfValue(value: unknown, max: number): string {
  try {
    return printable(typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value)), max);
  } catch {
    return UNSHOWABLE;
  }
}
