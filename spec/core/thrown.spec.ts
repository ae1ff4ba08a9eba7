import { runInNewContext } from 'node:vm';
import { EventsError } from '../../lib/core/errors';
import { describeThrown, stackOf, textOf } from '../../lib/core/thrown';

const coded = (message: string, code: unknown): Error => Object.assign(new Error(message), { code });

describe('F45 what was thrown', () => {
  it.each<[string, unknown, string]>([
    ['an error', new TypeError('no such account'), 'TypeError: no such account'],
    ['a class that kept its name', new (class CardError extends Error {})('declined'), 'CardError: declined'],
    [
      'a cause',
      new Error('cannot charge', { cause: new Error('card expired') }),
      'Error: cannot charge; caused by Error: card expired',
    ],
    [
      'the cause of a cause, with its code',
      new TypeError('fetch failed', {
        cause: new Error('socket', { cause: coded('refused', 'ECONNREFUSED') }),
      }),
      'TypeError: fetch failed; caused by Error: socket; caused by Error: refused (code ECONNREFUSED)',
    ],
    [
      'a cause that is quoted, with what is behind it',
      new Error('cannot pay: declined', { cause: new Error('declined', { cause: coded('closed', 'E1') }) }),
      'Error: cannot pay: declined; caused by Error: closed (code E1)',
    ],
    [
      'a cause that is no error',
      new Error('a', { cause: { status: 503 } }),
      'Error: a; caused by {"status":503}',
    ],
    [
      'inner errors',
      new AggregateError([new Error('503'), new Error('504')], 'all failed'),
      'AggregateError: all failed; 1 of 2: Error: 503; 2 of 2: Error: 504',
    ],
    [
      'an empty message with a code, and inner errors',
      Object.assign(new AggregateError([coded('connect ECONNREFUSED ::1', 'ECONNREFUSED')]), {
        code: 'ECONNREFUSED',
      }),
      'AggregateError: (code ECONNREFUSED); 1 of 1: Error: connect ECONNREFUSED ::1',
    ],
    ['a code as a number', coded('deadlock', 40001), 'Error: deadlock (code 40001)'],
    [
      'an error of ours',
      new EventsError('no_stream', 'no stream'),
      'EventsError: no stream (code no_stream)',
    ],
    ['no message and nothing else', new RangeError(), 'RangeError'],
    ['an error of another realm', runInNewContext('new TypeError("theirs")') as unknown, 'TypeError: theirs'],
    [
      'an error of another realm with a cause of a third',
      runInNewContext('new Error("theirs", { cause })', {
        cause: runInNewContext('new RangeError("inner")') as unknown,
      }) as unknown,
      'Error: theirs; caused by RangeError: inner',
    ],
    [
      'an object that looks like an error',
      { name: 'DOMException', message: 'aborted', stack: 'DOMException: aborted\n    at x' },
      'DOMException: aborted',
    ],
    ['text', 'plain', 'plain'],
    ['an object', { a: 1 }, '{"a":1}'],
    ['undefined', undefined, 'undefined'],
    ['a symbol', Symbol('s'), 'Symbol(s)'],
    ['a bigint', 7n, 'a value that cannot be shown'],
  ])('%s', (_, thrown, expected) => {
    expect(textOf(thrown)).toBe(expected);
  });

  it('ends at causes that lead back, and at many', () => {
    const first = new Error('first');
    const second = new Error('second', { cause: first });
    first.cause = second;
    expect(textOf(first)).toBe('Error: first; caused by Error: second');

    let deep: unknown = new Error('deepest');
    for (let n = 0; n < 10_000; n++) deep = new Error(`${n}`, { cause: deep });
    expect(textOf(deep).match(/caused by/g)).toHaveLength(5);
    const wide = new AggregateError(
      Array.from({ length: 100_000 }, (_, n) => new Error(`${n}`)),
      'many',
    );
    expect(textOf(wide)).toBe(
      'AggregateError: many; 1 of 100000: Error: 0; 2 of 100000: Error: 1; 3 of 100000: Error: 2; 4 of 100000: Error: 3',
    );
  });

  it('never throws, whatever its properties do', () => {
    const throws = (key: string): Error =>
      Object.defineProperty(new Error('outer'), key, {
        get: () => {
          throw new Error('no');
        },
      });
    const proxy = new Proxy(
      {},
      {
        get: () => {
          throw new Error('no');
        },
        getPrototypeOf: () => {
          throw new Error('no');
        },
      },
    );
    for (const key of ['name', 'message', 'cause', 'errors', 'code', 'stack']) {
      expect(typeof textOf(throws(key))).toBe('string');
      expect(textOf(new Error('whole', { cause: throws(key) }))).toContain('whole');
      expect(typeof stackOf(throws(key))).toBe('string');
    }
    for (const odd of [
      proxy,
      Object.create(null),
      () => 1,
      Object.assign(new Error('x'), { name: Symbol('n') }),
    ]) {
      expect(typeof textOf(odd)).toBe('string');
      expect(typeof stackOf(odd)).toBe('string');
    }
  });
});

describe('F62 what was thrown', () => {
  const MEGABYTES = 'x'.repeat(5_000_000);
  const forged = 'gone\r\nERROR [Events] all is lost\u001b[31m\u2028\u009b2J\u202e';

  it('is printable, on one line and bounded, wherever it stands', () => {
    for (const text of [forged, MEGABYTES, `${forged}${MEGABYTES}`]) {
      const named = Object.assign(new Error(text), { name: text, code: text });
      for (const thrown of [
        text,
        named,
        { [text]: text },
        new Error('a', { cause: named }),
        new AggregateError([named, text], text),
      ]) {
        const { type, message } = describeThrown(thrown);
        for (const told of [type, message, textOf(thrown)]) {
          expect(told).not.toMatch(/[\p{Cc}\u2028\u2029\u202e]/u);
          expect(told.length).toBeLessThanOrEqual(2200);
        }
      }
    }
    expect(describeThrown(new Error(`a${'😀'.repeat(3000)}`)).message).not.toMatch(/\p{Cs}|\ufffd/u);
  });

  it('has a stack of frames alone, so many at most: a message cannot pose as one', () => {
    const error = new Error('boom\n    at forged (x.js:1:1)\nERROR forged');
    const frames = stackOf(error).split('\n').slice(1);
    expect(frames.length).toBeGreaterThan(0);
    for (const frame of frames) expect(frame).toMatch(/^ {4}at /);
    expect(stackOf(error)).not.toContain('forged');

    error.stack = `Error: ${error.message}\n${'    at y\u001b[0m\n'.repeat(1000)}${MEGABYTES}`;
    expect(stackOf(error).length).toBeLessThan(10_000);
    expect(stackOf(error)).not.toContain('\u001b');
  });
});
