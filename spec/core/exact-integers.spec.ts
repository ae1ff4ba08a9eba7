import { integersAsTexts } from '../../lib/core/exact-integers';

describe('F49 integers that a number would round', () => {
  it.each([
    ['9007199254740993', '"9007199254740993"'],
    [' -9007199254740993 ', ' "-9007199254740993" '],
    ['{"id":9007199254740993,"ok":9007199254740991}', '{"id":"9007199254740993","ok":9007199254740991}'],
    ['[1,9223372036854775807, 18446744073709551615]', '[1,"9223372036854775807", "18446744073709551615"]'],
    ['{"a":[{"b":\n12345678901234567891}]}', '{"a":[{"b":\n"12345678901234567891"}]}'],
    [
      '{"a":"\\"",":9007199254740993":9007199254740993}',
      '{"a":"\\"",":9007199254740993":"9007199254740993"}',
    ],
    [`[${'9'.repeat(400)}]`, `["${'9'.repeat(400)}"]`],
    ...Array.from({ length: 40 }, (_, n): [string, string] => [
      `${' '.repeat(n)}[0.12345678901234567,9007199254740993]`,
      `${' '.repeat(n)}[0.12345678901234567,"9007199254740993"]`,
    ]),
  ])('are texts: %s', (json, expected) => {
    expect(integersAsTexts(json)).toBe(expected);
    JSON.parse(expected);
  });

  it.each([
    '9007199254740991',
    '9007199254740992',
    '-9007199254740994',
    '1152921504606846976',
    '[0.1234567890123456789,12345.678901234567890123]',
    '[1e300,1.5e+21,1E5]',
    '{"a":"9007199254740993","b":",9007199254740993"}',
    '{"9007199254740993":1}',
    '[1e400,1234567890123456789e1,-9007199254740993.0]',
    '{"id":"9007199254740993","text":"at 9007199254740993"}',
    '[]',
  ])('are none of these: %s', (json) => {
    expect(integersAsTexts(json)).toBeUndefined();
  });

  it('are none of what JavaScript writes', () => {
    for (let power = 0; power < 1024; power++) {
      for (const value of [2 ** power, -(2 ** power), 2 ** power * 1.1, Math.round(2 ** power * 1.7)])
        expect(integersAsTexts(JSON.stringify([value]))).toBeUndefined();
    }
  });

  it('are found in time that grows with the body alone', () => {
    // A search that goes back would take minutes for each, far beyond the limit of a test.
    const found = [
      `["${',1'.repeat(2_000_000)}"]`,
      `[${'1'.repeat(2_000_000)}]`,
      `[${'1.'.repeat(3)}${'0'.repeat(2_000_000)}]`,
      `["${'\\"'.repeat(2_000_000)}",9007199254740993]`,
      `[${'9007199254740993,'.repeat(200_000)}1]`,
    ].map((json) => integersAsTexts(json) !== undefined);
    expect(found).toEqual([false, true, false, true, true]);
  });
});
