import fc from 'fast-check';
import { writeSmallJson } from '../../lib/core/small-json';

const at = new Date('2024-05-01T10:20:30.456Z');

class Order {
  readonly placedAt = at;
  constructor(readonly number: number) {}
  get total(): number {
    return 1;
  }
}

function pathsTo(data: unknown): string[] {
  if (data instanceof Date) return [''];
  if (typeof data !== 'object' || data === null) return [];
  return Object.entries(data).flatMap(([key, value]) =>
    pathsTo(value).map((path) => `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}${path}`),
  );
}

const expected = (data: unknown): { text: string; paths: readonly string[] } => ({
  text: JSON.stringify(data),
  paths: pathsTo(data),
});

describe('small plain data', () => {
  it.each<[string, unknown]>([
    ['a text', 'abc ~'],
    ['an empty text', ''],
    ['null', null],
    ['true', true],
    ['numbers', [0, -0, 7, 10, 99, 100, -5, 2147483647, 2147483648, -2147483648, 1.5, 1e21, 5e-324]],
    ['a Date', at],
    ['Dates in objects', { a: at, b: { c: at, 'd/e~f': at }, g: 'x' }],
    ['empty ones', { a: {}, b: [], c: [[], {}] }],
    ['keys without a value', { a: undefined, b: 1, c: undefined }],
    ['no key with a value', { a: undefined }],
    ['keys like numbers', { 10: 'ten', 9: 'nine', a: 'a' }],
    [
      'instances of classes',
      { order: new Order(5), all: { one: Object.create({ inherited: 1 }) as object } },
    ],
    ['an array without a prototype', Object.setPrototypeOf([1, 'a'], null)],
    ['an array that passes for an object', Object.setPrototypeOf([[1], {}], Object.prototype)],
    ['a getter', Object.defineProperty({}, 'a', { get: () => 1, enumerable: true })],
    ['a key `__proto__`', JSON.parse('{"__proto__":{"a":1}}')],
    ['as much as is small', { text: 'x'.repeat(50), more: Array.from({ length: 19 }, () => 'y'.repeat(47)) }],
  ])('is written as by JSON.stringify: %s', (_what, data) => {
    expect(writeSmallJson(data)).toEqual(expected(data));
  });

  it('is written so, whatever it is', () => {
    const ascii = fc.string({ unit: fc.constantFrom('a', 'B', '0', ' ', '~', '/'), maxLength: 8 });
    const leaf = fc.oneof(ascii, fc.integer(), fc.double(), fc.boolean(), fc.constant(null), fc.date());
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4, withCrossShrink: true },
        { weight: 3, arbitrary: leaf },
        { weight: 2, arbitrary: fc.dictionary(ascii, tie('value'), { maxKeys: 4 }) },
        { weight: 1, arbitrary: fc.array(tie('value'), { maxLength: 4 }) },
        { weight: 1, arbitrary: fc.integer().map((number) => new Order(number)) },
      ),
    }));
    const anything = fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
    });
    let count = 0;
    fc.assert(
      fc.property(fc.oneof(value, anything), (data) => {
        const small = writeSmallJson(data);
        if (small === undefined) return;
        count++;
        expect(small).toEqual(expected(data));
      }),
      { numRuns: 3000 },
    );
    expect(count).toBeGreaterThan(1000);
  });

  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const deep = JSON.parse('['.repeat(600) + ']'.repeat(600)) as unknown;
  class Day extends Date {}

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['a gap', [1, undefined]],
    ['a function', { a: () => 1 }],
    ['a symbol', [Symbol('a')]],
    ['a bigint', { a: 1n }],
    ['no number', [Number.NaN]],
    ['a quote', '"'],
    ['a backslash', { '\\': 1 }],
    ['a line break', 'a\nb'],
    ['an umlaut', { name: 'Zoë' }],
    ['a control character', '\u007f'],
    ['a long text', 'x'.repeat(101)],
    ['a long key', { ['x'.repeat(101)]: 1 }],
    ['more than is small', Array.from({ length: 20 }, () => 'y'.repeat(60))],
    ['many numbers', Array.from({ length: 1e5 }, () => 1e5)],
    ['itself', cyclic],
    ['many levels', deep],
    ['a Date in an array', [at]],
    ['a Date below an array', { a: [{ b: at }] }],
    ['no time', new Date(Number.NaN)],
    ['a Date of a class', new Day()],
    ['a toJSON', { a: { toJSON: () => 1 } }],
    ['a Map', new Map()],
    ['a boxed text', Object('a')],
    ['a boxed text that hides it', Object.assign(Object('a') as object, { [Symbol.toStringTag]: 'Object' })],
    ['a boxed bigint that hides it', Object.setPrototypeOf(Object(7n), {})],
    ['what has no prototype, as raw JSON', Object.assign(Object.create(null) as object, { rawJSON: '1' })],
    ['a gap in an array without a prototype', Object.setPrototypeOf([1, undefined], null)],
    ['an Error', new Error('a')],
    ['a promise', { a: Promise.resolve() }],
    [
      'a getter that throws',
      Object.defineProperty({}, 'a', {
        get: () => {
          throw new Error('a');
        },
        enumerable: true,
      }),
    ],
  ])('it is not: %s', (_what, data) => {
    expect(writeSmallJson(data)).toBeUndefined();
    // Nothing of it is left for the next.
    expect(writeSmallJson({ a: at })).toEqual(expected({ a: at }));
  });

  it('with a getter that writes others has them written another way', () => {
    let inner: unknown = 'not asked';
    const data = {
      before: at,
      get asked() {
        inner = writeSmallJson({ b: at });
        return 1;
      },
      after: at,
    };
    expect(writeSmallJson(data)).toMatchObject({ paths: ['/before', '/after'] });
    expect(inner).toBeUndefined();
  });

  it('is not written while every object has keys that are not its own', () => {
    const prototype = Object.prototype as Record<string, unknown>;
    prototype.polluted = 1;
    try {
      expect(writeSmallJson({ a: 1 })).toBeUndefined();
    } finally {
      delete prototype.polluted;
    }
  });

  it('keeps nothing of what was written before', () => {
    const first = writeSmallJson({ a: at });
    writeSmallJson({ b: { c: at }, d: 'x' });
    expect(first).toEqual(expected({ a: at }));
  });
});
