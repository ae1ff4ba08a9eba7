import { EventsError } from '../../lib/core/errors';
import { assertEventName, assertPattern, isWildcard, matches, overlap } from '../../lib/core/event-name';

const codeOf = (run: () => void): string | undefined => {
  try {
    run();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(EventsError);
    return (error as EventsError).code;
  }
};

describe('an event name', () => {
  it.each(['user', 'user.created', 'a.b.c.d', 'A-1_b.2', '__', '-', '1', 'x'.repeat(200)])(
    'can be %j',
    (name) => {
      expect(codeOf(() => assertEventName(name))).toBeUndefined();
      expect(codeOf(() => assertPattern(name))).toBeUndefined();
    },
  );

  it.each<[unknown]>([
    [''],
    ['.'],
    ['user.'],
    ['.user'],
    ['user..created'],
    ['user created'],
    ['user\tcreated'],
    ['user\r\nPUB x 0'],
    ['user\n'],
    ['user.*'],
    ['>'],
    ['user.>'],
    ['$SYS.x'],
    ['user/created'],
    ['üser'],
    ['user\u200b'],
    ['x'.repeat(201)],
    [undefined],
    [null],
    [7],
    [['user']],
    [{ toString: () => 'user' }],
  ])('cannot be %j', (name) => {
    expect(codeOf(() => assertEventName(name))).toBe('invalid_event_name');
  });

  it('is quoted back safely: shortened, on one line', () => {
    const injected = `user\r\n${'x'.repeat(1000)}`;
    expect(() => assertEventName(injected)).toThrow(/^invalid event name "user\\r\\nx{54}…": /);
  });
});

describe('a pattern', () => {
  it.each(['*', '>', '*.created', 'user.*', 'user.*.late', '*.*', 'user.>', '*.>', 'a.*.>'])(
    'can be %j',
    (pattern) => {
      expect(codeOf(() => assertPattern(pattern))).toBeUndefined();
      expect(isWildcard(pattern)).toBe(true);
    },
  );

  it.each(['', '>.user', 'user.>.x', '>>', 'user.cre*', '**', 'user.*x', 'user>', 'user.', '*.', 7])(
    'cannot be %j',
    (pattern) => {
      expect(codeOf(() => assertPattern(pattern))).toBe('invalid_pattern');
    },
  );

  it.each([
    ['user', 'user', true],
    ['user', 'users', false],
    ['*', 'user', true],
    ['*', 'user.created', false],
    ['user.*', 'user.created', true],
    ['user.*', 'user', false],
    ['user.*', 'user.created.late', false],
    ['*.created', 'user.created', true],
    ['*.created', 'user.deleted', false],
    ['user.*.late', 'user.created.late', true],
    ['user.>', 'user', false],
    ['user.>', 'user.created', true],
    ['user.>', 'user.created.late', true],
    ['*.>', 'user', false],
    ['*.>', 'user.created', true],
    ['>', 'user', true],
    ['>', 'user.created.late', true],
  ])('%j on %j: %s', (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected);
  });
});

describe('two patterns', () => {
  const patterns = [
    'a',
    'b',
    'a.b',
    'a.*',
    '*.b',
    'b.*',
    '*.*',
    '*',
    'a.>',
    '*.b.>',
    '>',
    'a.b.c',
    'a.*.c',
    '*.*.>',
  ];
  const tokens = ['a', 'b', 'c', 'x'];
  const names = [1, 2, 3, 4].reduce<string[][]>(
    (levels) => [
      ...levels,
      tokens.flatMap((token) =>
        (levels.at(-1) ?? ['']).map((rest) => (rest === '' ? token : `${token}.${rest}`)),
      ),
    ],
    [],
  );

  it.each(patterns.flatMap((a) => patterns.map((b) => [a, b] as const)))(
    'overlap when some name matches both: %j and %j',
    (a, b) => {
      const some = names.flat().some((name) => matches(a, name) && matches(b, name));
      expect(overlap(a, b)).toBe(some);
    },
  );
});
