import { runInNewContext } from 'node:vm';
import { EventsError, EventSerializationError } from '../../lib/core/errors';
import { JsonCodec, MAX_DEPTH } from '../../lib/core/json-codec';

const at = new Date('2024-05-01T10:20:30.456Z');
const later = new Date('2031-12-31T23:59:59.999Z');
const iso = at.toISOString();
const codec = new JsonCodec();

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const json = (data: unknown): string => Buffer.from(codec.encode(data).body).toString('utf8');
const datePaths = (data: unknown): string | undefined => codec.encode(data).datePaths;
const decode = (text: string, paths?: string): unknown => codec.decode(bytes(text), paths);

function roundTrip(data: unknown): unknown {
  const { body, datePaths } = codec.encode(data);
  return new JsonCodec().decode(body, datePaths);
}

function refusal(data: unknown): EventSerializationError {
  try {
    codec.encode(data);
  } catch (error) {
    expect(error).toBeInstanceOf(EventSerializationError);
    expect(error).toMatchObject({ code: 'unserializable' });
    return error as EventSerializationError;
  }
  throw new Error('was not refused');
}

function undecodable(body: Uint8Array): string {
  try {
    codec.decode(body, undefined);
  } catch (error) {
    expect(error).toBeInstanceOf(EventsError);
    expect(error).toMatchObject({ code: 'undecodable' });
    return (error as EventsError).message;
  }
  throw new Error('was decoded');
}

function nested(levels: number, innermost: unknown = 1): unknown {
  let value = innermost;
  for (let level = 0; level < levels; level++) value = level % 2 ? [value] : { a: value };
  return value;
}

describe('plain JSON', () => {
  it.each([
    ['null', null],
    ['a string', 'zażółć 🦄 \u0000 \ud800'],
    ['a number', -12.5e-7],
    ['a boolean', false],
    ['an empty object', {}],
    ['an empty array', []],
    ['nested values', { a: [1, 'x', null, { b: true, '': [[]] }] }],
    ['keys with / ~ * and none', { 'a/b': 1, 'c~d': 2, '*': 3, '': 4, ą: 5 }],
    ['an object without a prototype', Object.assign(Object.create(null) as object, { a: 1 })],
    ['an array without a prototype', Object.setPrototypeOf([1, 'ü'], null)],
  ])('carries %s as JSON.stringify does, without date paths', (_, data) => {
    expect(json(data)).toBe(JSON.stringify(data));
    expect(datePaths(data)).toBeUndefined();
    expect(roundTrip(data)).toEqual(data);
  });

  it('leaves out undefined properties and symbol keys', () => {
    expect(json({ a: undefined, b: 1, [Symbol('c')]: 1n })).toBe('{"b":1}');
  });

  it('carries a class instance as its own properties, and -0 as 0', () => {
    class Order {
      #secret = 1n;
      total = -0;
      get secret() {
        return this.#secret;
      }
    }
    expect(json(new Order())).toBe('{"total":0}');
  });

  it('carries boxed primitives as primitives', () => {
    const boxed: unknown = [Object(1), Object('x'), Object(false)];
    expect(json({ boxed })).toBe('{"boxed":[1,"x",false]}');
  });

  it('carries a value of another realm, a proxy, and a class with a tag', () => {
    const foreign: unknown = runInNewContext('({ list: [1, { a: "x" }] })');
    const tagged = new (class {
      a = 1;
      get [Symbol.toStringTag]() {
        return 'Order';
      }
    })();
    expect(json({ foreign, proxy: new Proxy({ a: 1 }, {}), tagged })).toBe(
      '{"foreign":{"list":[1,{"a":"x"}]},"proxy":{"a":1},"tagged":{"a":1}}',
    );
  });

  it('carries a value that appears twice without being a cycle', () => {
    const shared = { at };
    expect(roundTrip({ a: shared, b: [shared, shared] })).toEqual({ a: { at }, b: [{ at }, { at }] });
  });

  it('carries 1 MB', () => {
    const data = { lines: Array.from({ length: 10_000 }, (_, id) => ({ id, text: 'ż'.repeat(50), at })) };
    expect(codec.encode(data).body.byteLength).toBeGreaterThan(2 ** 20);
    expect(datePaths(data)).toBe('#/lines/*/at');
    expect(roundTrip(data)).toEqual(data);
  });

  it('leaves the data untouched', () => {
    const data = Object.freeze({
      at,
      list: Object.freeze([{ at, skipped: undefined }]),
      money: { toJSON: () => 1 },
    });
    codec.encode(data);
    expect(data.list[0]).toStrictEqual({ at, skipped: undefined });
  });

  it('round-trips an own key __proto__ without polluting anything', () => {
    const data: unknown = JSON.parse(
      `{"__proto__":{"polluted":"${iso}"},"constructor":{"prototype":{"x":1}}}`,
    );
    const slow = { data, price: { toJSON: () => 1 } };
    expect(json(data)).toBe(JSON.stringify(data));
    expect(json(slow)).toBe(JSON.stringify(slow));
    const revived = decode(json(data), '#/__proto__/polluted') as object;
    expect(Object.getOwnPropertyDescriptor(revived, '__proto__')?.value).toEqual({ polluted: at });
    expect(Object.getPrototypeOf(revived)).toBe(Object.prototype);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});

describe('dates', () => {
  it.each<[string, unknown, string]>([
    ['the data itself', at, '#'],
    ['a property', { at }, '#/at'],
    ['two properties', { at, b: { later } }, '#/at,#/b/later'],
    ['every slot of an array', [at, later], '#/*'],
    ['a property of every slot', { items: [{ at }, { at: later }] }, '#/items/*/at'],
    ['nested arrays', { a: [{ b: [{ at }, { at }] }, { b: [{ at }] }, { b: [] }] }, '#/a/*/b/*/at'],
    ['arrays of arrays', [[at], [at, at], []], '#/*/*'],
    [
      'slots of which some lack it',
      { items: [{ at }, {}, { at: null }, { at: 5 }, null, 7] },
      '#/items/*/at',
    ],
    ['slots of which the first lacks it', [null, at], '#/*'],
    ['slots beside a string', ['x', at, later], '#/1,#/2'],
    [
      'slots of which one has a string there',
      { items: [{ at }, { at: iso }, { at }] },
      '#/items/0/at,#/items/2/at',
    ],
    [
      'only the path where slots differ',
      [
        { at, b: at },
        { at: iso, b: at },
      ],
      '#/0/at,#/*/b',
    ],
    ['an inner array that differs', [{ b: [at] }, { b: [iso, at] }], '#/0/b/*,#/*/b/1'],
    ['keys with / and ~', { 'a/b': { 'c~d~1': at } }, '#/a~1b/c~0d~01'],
    ['a literal key *', { '*': { at }, a: { '*': [at] } }, '#/*/at,#/a/*/*'],
    ['slots that are an object with * and an array', [{ '*': at }, [iso]], '#/0/*'],
    ['slots that are an object with 0 and an array', [{ 0: at }, ['x']], '#/0/0'],
    ['an empty key', { '': { '': at } }, '#//'],
    [
      'keys with comma, percent, space, quote, CR LF',
      { ',%': at, ' "': at, '\r\n': at },
      '#/%2C%25,#/%20%22,#/%0D%0A',
    ],
    ['unicode keys', { 'żółw 🐢': at }, '#/%C5%BC%C3%B3%C5%82w%20%F0%9F%90%A2'],
    ['years beyond four digits', { at: new Date(8.64e15), b: new Date(-8.64e15) }, '#/at,#/b'],
  ])('arrive as dates: %s', (_, data, header) => {
    expect(datePaths(data)).toBe(header);
    expect(json(data)).toBe(JSON.stringify(data));
    expect(roundTrip(data)).toStrictEqual(data);
    expect(header).toMatch(/^[\x21-\x7e]*$/);
  });

  it('leaves date-like strings alone', () => {
    expect(roundTrip({ a: iso, list: [iso, { a: iso }] })).toEqual({ a: iso, list: [iso, { a: iso }] });
  });

  it('lists 1,000 slots with optional dates once', () => {
    const items = Array.from({ length: 1000 }, (_, id) => ({
      id,
      shippedAt: id % 3 ? at : id % 2 ? null : undefined,
    }));
    expect(datePaths({ items })).toBe('#/items/*/shippedAt');
  });

  it('takes subclasses and dates of another realm', () => {
    class Day extends Date {}
    const foreign: unknown = runInNewContext(`new Date('${iso}')`);
    const tagged = new (class extends Date {
      get [Symbol.toStringTag]() {
        return 'Tagged';
      }
    })(iso);
    expect(datePaths({ a: new Day(iso), foreign, tagged })).toBe('#/a,#/foreign,#/tagged');
    expect(roundTrip({ a: new Day(iso), foreign, tagged })).toEqual({ a: at, foreign: at, tagged: at });
  });

  it('treats a date with a toJSON or toISOString of its own as any toJSON', () => {
    const own = Object.assign(new Date(iso), { toJSON: () => 'own' });
    class Day extends Date {
      override toISOString() {
        return super.toISOString().slice(0, 10);
      }
    }
    expect(datePaths({ own, day: new Day(iso) })).toBeUndefined();
    expect(json({ own, day: new Day(iso) })).toBe('{"own":"own","day":"2024-05-01"}');
  });

  it('refuses more than 4 KB of paths', () => {
    const items = Array.from({ length: 1000 }, (_, id) => (id === 500 ? 'a string' : at));
    const error = refusal({ items });
    expect(error.path).toBe('/items/0');
    expect(error.message).toMatch(
      /\/items\/0 on, take \d+ bytes and 4096 are allowed: send these dates as ISO strings/,
    );
    const wide = Object.fromEntries(Array.from({ length: 5000 }, (_, id) => [`k${id}`, at]));
    expect(refusal(wide).path).toBe('/k0');
    const slots = Array.from({ length: 3000 }, (_, id) => ({ [`user${id}`]: at }));
    expect(refusal(slots).path).toBe('/0/user0');
  });

  it('allows exactly 4096 bytes', () => {
    expect(datePaths({ ['k'.repeat(4094)]: at })).toHaveLength(4096);
    expect(roundTrip({ ['k'.repeat(4094)]: at })).toEqual({ ['k'.repeat(4094)]: at });
    expect(refusal({ ['k'.repeat(4095)]: at }).message.length).toBeLessThan(600);
  });
});

describe('beside a Date', () => {
  class Visit {
    static readonly shared = 1;
    readonly note: string | undefined = undefined;
    readonly #secret = 'secret';
    constructor(readonly visitedAt: Date) {}
    get secret(): string {
      return this.#secret;
    }
  }
  class Visits extends Array<Visit> {
    static override get [Symbol.species](): ArrayConstructor {
      throw new Error('copied by its class');
    }
    override *[Symbol.iterator](): ArrayIterator<Visit> {
      throw new Error('copied by its iterator');
    }
  }
  class Timestamp extends Date {
    override getTime(): number {
      return 0;
    }
  }
  const own = (key: PropertyKey, value: unknown, enumerable = true): object =>
    Object.defineProperty({ before: 1 }, key, { value, enumerable });
  const visits = new Visits();
  visits[0] = new Visit(at);

  it.each<[string, unknown]>([
    ['the fields of an instance', new Visit(at)],
    ['what inherits nothing', Object.assign(Object.create(null) as object, { at, a: undefined })],
    ['what is frozen', Object.freeze({ at, list: Object.freeze([at, Object.freeze({ at })]) })],
    ['an array of a class of its own', { visits }],
    ['extra properties of arrays', Object.assign([at], { extra: at })],
    ['the key __proto__', own('__proto__', at)],
    ['a setter that is inherited', { __proto__: Object.create(own('x', 1)) as object, at }],
    ['symbols and what is not enumerable', [own(Symbol('s'), at), own('hidden', at, false), at]],
    ['keys that are numbers', { b: at, 2: at, 1: 'one', a: 0 }],
    ['one Date in many places', { at, again: at, list: [at, at] }],
    ['a Date of a class of its own', [new Timestamp(at), at]],
    [
      'a Date whose class makes something else of its value',
      [
        new (class extends Date {
          override [Symbol.toPrimitive](): never {
            return Number.NaN as never;
          }
        })(at),
        at,
      ],
    ],
    ['years that take more than four digits', [new Date(8.64e15), new Date(-8.64e15), at]],
    ['a Date alone', at],
  ])('writes %s as JSON.stringify does', (_, data) => {
    const before = structuredClone(data);
    expect(json(data)).toBe(JSON.stringify(data));
    expect(structuredClone(data)).toEqual(before);
  });

  it('reads a getter once to look at what it gives, and once to write it', () => {
    const counting = (): { at: Date; readonly count: number } => {
      let calls = 0;
      return {
        at,
        get count() {
          return ++calls;
        },
      };
    };
    expect(JSON.parse(json(counting()))).toEqual({ at: at.toJSON(), count: 2 });
    let slots: unknown[] = [at, 1];
    const list = new Proxy([at, 1], { get: (_, key) => Reflect.get(slots, key) as unknown });
    slots = [at, 2];
    expect(json(list)).toBe(JSON.stringify([at, 2]));
  });

  it('is not disturbed by a test that has another Date in place of the real one', () => {
    const expected = JSON.stringify({ at });
    const mocked = jest.spyOn(global, 'Date').mockImplementation(() => at);
    try {
      expect(json({ at })).toBe(expected);
    } finally {
      mocked.mockRestore();
    }
  });

  it('leaves alone what Object.prototype has been given', () => {
    Object.defineProperty(Object.prototype, 'polluted', { value: at, enumerable: true, configurable: true });
    try {
      expect(json({ a: 1, at })).toBe(JSON.stringify({ a: 1, at }));
    } finally {
      delete (Object.prototype as Record<string, unknown>).polluted;
    }
  });
});

describe('toJSON', () => {
  class Money {
    constructor(readonly cents: number) {}
    toJSON() {
      return { amount: this.cents / 100, paidAt: at };
    }
  }

  it('counts by its result, dates included', () => {
    const data = { price: new Money(1250), list: [new Money(1), new Money(2)], at };
    expect(json(data)).toBe(JSON.stringify(data));
    expect(datePaths(data)).toBe('#/price/paidAt,#/list/*/paidAt,#/at');
    expect(json(new Money(100))).toBe(JSON.stringify(new Money(100)));
  });

  it('is called once, with the key', () => {
    const toJSON = jest.fn((key: string) => key);
    expect(json({ a: { toJSON }, b: [{ toJSON }] })).toBe('{"a":"a","b":["0"]}');
    expect(toJSON.mock.calls).toEqual([['a'], ['0']]);
    expect(json({ toJSON })).toBe('""');
  });

  it('may return undefined in a property, a Date, or the object itself', () => {
    expect(json({ a: { toJSON: () => undefined }, b: 1 })).toBe('{"b":1}');
    expect(roundTrip({ moment: { toJSON: () => at } })).toEqual({ moment: at });
    const itself = {
      a: 1,
      toJSON() {
        return this;
      },
    };
    expect(json({ itself })).toBe(JSON.stringify({ itself }));
    expect(json({ href: new URL('http://a/b') })).toBe('{"href":"http://a/b"}');
  });

  it('is honoured on a built-in subclass, an error and a function, not on bytes', () => {
    class Bag extends Map<string, number> {
      toJSON() {
        return Object.fromEntries(this);
      }
    }
    const error = Object.assign(new Error('x'), { toJSON: () => 'error' });
    const callable = Object.assign(() => 1, { toJSON: () => 'function' });
    expect(json([new Bag([['a', 1]]), error, callable])).toBe('[{"a":1},"error","function"]');
    expect(refusal([Buffer.from('a')]).message).toContain('typed array');
  });

  it.each<[string, unknown, string]>([
    ['a refused value', { a: { toJSON: () => ({ b: [1n] }) } }, '/a/b/0'],
    ['undefined in an array', { a: [{ toJSON: () => undefined }] }, '/a/0'],
    ['undefined as the data', { toJSON: () => undefined }, ''],
  ])('is refused for %s in its result', (_, data, path) => {
    expect(refusal(data).path).toBe(path);
  });

  it('that throws is named, with the cause', () => {
    const cause = new Error('no');
    const data = {
      a: [
        {
          toJSON() {
            throw cause;
          },
        },
      ],
    };
    expect(refusal(data)).toMatchObject({
      path: '/a/0',
      cause,
      message: expect.stringContaining('toJSON threw') as string,
    });
  });

  it('that goes on forever ends at the depth limit', () => {
    const endless = { toJSON: (): unknown => ({ next: { ...endless } }) };
    expect(refusal(endless).message).toContain('nested deeper than 1000 levels');
  });
});

describe('what JSON cannot carry', () => {
  const buffer = new ArrayBuffer(2);
  const remedies: [string, unknown, RegExp][] = [
    ['a bigint', 1n, /is a bigint.*String\(value\)/],
    ['a boxed bigint', Object(1n), /is a bigint.*String\(value\)/],
    ['a symbol', Symbol('x'), /is a symbol.*string/],
    ['a boxed symbol', Object(Symbol('x')), /is a symbol.*string/],
    ['a function', () => 1, /is a function/],
    ['a class', class {}, /is a function/],
    ['NaN', NaN, /is NaN.*null/],
    ['a boxed NaN', Object(NaN), /is NaN.*null/],
    ['Infinity', Infinity, /is Infinity.*null/],
    ['-Infinity', -Infinity, /is -Infinity.*null/],
    ['an Invalid Date', new Date(NaN), /is an Invalid Date.*null/],
    ['an Invalid Date of another realm', runInNewContext('new Date(NaN)'), /is an Invalid Date.*null/],
    ['a Map', new Map(), /is a Map.*Object\.fromEntries/],
    ['a Map subclass', new (class Bag extends Map {})(), /is a Map/],
    ['a Map of another realm', runInNewContext('new Map()'), /is a Map/],
    ['a Map behind a proxy', new Proxy(new Map(), {}), /is a Map/],
    ['a Set', new Set(), /is a Set.*\[\.\.\.set\]/],
    ['a RegExp', /x/, /is a RegExp.*source/],
    ['an Error', new Error('x'), /is an Error.*plain object/],
    ['an Error subclass', new (class Oops extends TypeError {})(), /is an Error/],
    ['an Error of another realm', runInNewContext('new RangeError()'), /is an Error/],
    ['a DOMException', new DOMException('x'), /is an Error|DOMException/],
    ['an Error without its slot', Object.create(Error.prototype), /is an Error/],
    ['a Promise', Promise.resolve(1), /is a Promise.*did you forget to await it\?/],
    ['a thenable', new (class Query { then() {} })(), /did you forget to await it\?/], // prettier-ignore
    ['a Buffer', Buffer.from('x'), /is a Buffer or typed array.*base64/],
    ['a typed array', new Float64Array(1), /is a Buffer or typed array.*base64/],
    ['an ArrayBuffer', buffer, /is an ArrayBuffer.*base64/],
    ['a DataView', new DataView(buffer), /is a DataView.*base64/],
    ['a WeakMap', new WeakMap(), /is a WeakMap/],
    ['a WeakSet', new WeakSet(), /is a WeakSet/],
    ['a WeakRef', new WeakRef({}), /is a WeakRef/],
    ['an iterator', new Map().keys(), /is a Map Iterator.*array/],
    ['a generator', (function* () {})(), /is a Generator.*array/],
    ['a host object JSON sees nothing of', new URLSearchParams('a=1'), /is a URLSearchParams/],
  ];

  it.each(remedies)('%s is refused with its path and a remedy', (_, value, message) => {
    for (const [data, path] of [
      [value, ''],
      [{ a: value }, '/a'],
      [{ 'a/b': [0, { c: value }] }, '/a~1b/1/c'],
      [[value], '/0'],
    ] as const) {
      const error = refusal(data);
      expect(error.path).toBe(path);
      expect(error.message.startsWith(`${path === '' ? 'the data' : path} is `)).toBe(true);
      expect(error.message).toMatch(message);
    }
  });

  it('undefined is refused as the data and in an array', () => {
    expect(refusal(undefined)).toMatchObject({
      path: '',
      message: expect.stringMatching(/the data is undefined/) as string,
    });
    expect(refusal({ a: [1, undefined] })).toMatchObject({
      path: '/a/1',
      message: '/a/1 is undefined, which JSON cannot carry: send null, or leave the element out',
    });
  });

  it('a hole in an array is refused', () => {
    const sparse = [1];
    sparse[2] = 3;
    expect(refusal(sparse)).toMatchObject({
      path: '/1',
      message: expect.stringContaining('hole in a sparse') as string,
    });
    expect(refusal(new Array(2 ** 32 - 1)).path).toBe('/0');
  });

  it('a cycle is named as one', () => {
    const order: { lines: { order?: unknown }[] } = { lines: [{}] };
    order.lines[0] = { order };
    expect(refusal(order)).toMatchObject({
      path: '/lines/0/order',
      message:
        "/lines/0/order is a cycle (an object that holds itself), which JSON cannot carry: send the object's id instead",
    });
    const viaToJson: Record<string, unknown> = {};
    viaToJson.self = { toJSON: () => viaToJson };
    expect(refusal(viaToJson).path).toBe('/self');
    const viaGetter = {
      get self(): unknown {
        return { ...viaGetter };
      },
    };
    expect(refusal(viaGetter).code).toBe('unserializable');
  });

  it('a getter that throws is named, with the cause', () => {
    const cause = new Error('secret');
    const data = {
      user: {
        get name(): string {
          throw cause;
        },
      },
    };
    const error = refusal(data);
    expect(error).toMatchObject({ path: '/user/name', cause });
    expect(error.message).not.toContain('secret');
  });

  it('a revoked proxy is named', () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(refusal({ a: proxy }).path).toBe('/a');
  });

  it('more than 1,000 levels are refused, 1,000 are carried both ways', () => {
    expect(roundTrip(nested(MAX_DEPTH, at))).toEqual(nested(MAX_DEPTH, at));
    expect(roundTrip(nested(MAX_DEPTH, { toJSON: () => 1 }))).toEqual(nested(MAX_DEPTH));
    const error = refusal(nested(MAX_DEPTH + 1));
    expect(error.message).toContain('nested deeper than 1000 levels');
    expect(error.message.length).toBeLessThan(400);
    expect(error.path.split('/')).toHaveLength(MAX_DEPTH + 1);
  });

  it('a Date below half a surrogate pair is refused, for its key has no UTF-8', () => {
    expect(refusal({ '\ud800': at }).message).toContain('whole characters in its keys');
  });
});

describe('decoding', () => {
  it('accepts a byte order mark', () => {
    expect(decode('\ufeff{"a":1}')).toEqual({ a: 1 });
  });

  it('accepts a view into a larger buffer', () => {
    expect(codec.parse(bytes('xx{"a":1}xx').subarray(2, 9))).toEqual({ a: 1 });
  });

  it.each<[string, Uint8Array, string]>([
    ['an empty body', bytes(''), 'the body is empty'],
    ['invalid UTF-8', Uint8Array.of(0x22, 0xff, 0x22), 'the body is not UTF-8'],
    ['a cut UTF-8 sequence', Uint8Array.of(0x22, 0xc5), 'the body is not UTF-8'],
    ['an encoded surrogate', Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), 'the body is not UTF-8'],
    ['UTF-16 with a mark', Buffer.from('\ufeff{"a":1}', 'utf16le'), 'the body is not UTF-8'],
    ['UTF-16', Buffer.from('{"a":1}', 'utf16le'), 'the body is not JSON'],
    ['a cut body', bytes('{"card":"4111'), 'the body is not JSON'],
    ['text', bytes('4111 secret'), 'the body is not JSON'],
    ['undefined', bytes('undefined'), 'the body is not JSON'],
    [
      'too many levels',
      bytes('['.repeat(1001) + ']'.repeat(1001)),
      'the body is nested deeper than 1000 levels',
    ],
    ['a million brackets', bytes('[{"a":'.repeat(1e6)), 'the body is nested deeper than 1000 levels'],
  ])('refuses %s without quoting it', (_, body, message) => {
    expect(undecodable(body)).toBe(message);
    expect(decode('"ok"')).toBe('ok');
  });

  it('counts no brackets in strings', () => {
    const text = `${'[{'.repeat(2000)}\\"]`;
    expect(decode(JSON.stringify([text, text]))).toEqual([text, text]);
    const flat = Array.from({ length: 2000 }, () => [{}]);
    expect(decode(JSON.stringify(flat))).toEqual(flat);
    expect(decode('['.repeat(1000) + ']'.repeat(1000))).toEqual(
      JSON.parse('['.repeat(1000) + ']'.repeat(1000)),
    );
  });

  it('revives what another language wrote: an offset, no milliseconds, nanoseconds', () => {
    const text = '["2024-05-01T12:20:30+02:00","2024-05-01T10:20Z","2024-02-29T10:20:30.456789123Z"]';
    const dates = decode(text, '#/*') as Date[];
    expect(dates.map((date) => date.toISOString())).toEqual([
      '2024-05-01T10:20:30.000Z',
      '2024-05-01T10:20:00.000Z',
      '2024-02-29T10:20:30.456Z',
    ]);
  });

  it.each([
    [
      'yesterday',
      '1',
      '',
      '2024-05-01',
      '2024-05-01T10:20:30',
      '2024-13-01T00:00:00Z',
      '2024-05-01T25:00:00Z',
    ],
    [
      '2023-02-29T00:00:00Z',
      '2024-02-30T00:00:00.000Z',
      '2024-04-31T00:00:00+02:00',
      '-000000-01-01T00:00:00Z',
    ],
    [` ${iso}`, `${iso}\n`, iso.toLowerCase()],
    [5, null, true, {}, []],
  ])('leaves what is no date-time as it is: %j', (...values) => {
    expect(decode(JSON.stringify(values), '#/*')).toEqual(values);
  });

  it.each([
    ['nothing there', '#/b,#/a/c,#/list/9,#/list/x,#/a/b/c/d'],
    [
      'the prototype',
      '#/__proto__/at,#/constructor/prototype/at,#/toString/name,#/list/length,#/list/constructor',
    ],
    ['not an index', '#/list/00,#/list/-1,#/list/1e0,#/list/-,#/list/0x0,#/list/ 0'],
    ['a star at an object', '#/*,#/a/*'],
    ['no fragment', '/text'],
    ['no slash', '#text'],
    ['nothing', ''],
    ['JSON', '["/text"]'],
    ['a bad escape', '#/text,#/~2'],
    ['a bad percent', '#/text,#/%ff'],
    ['a trailing comma', '#/text,'],
    ['more than 4096 bytes', `#/text,#/${'x'.repeat(4096)}`],
  ])('ignores a hostile or wrong header: %s', (_, header) => {
    const body = { text: iso, a: { b: 'x' }, list: [iso] };
    expect(decode(JSON.stringify(body), header)).toEqual(body);
    expect(decode(JSON.stringify(body), header)).toEqual(body);
  });

  it('ignores a path through a date', () => {
    expect(decode(`{"at":"${iso}"}`, '#/at,#/at/x,#/at')).toEqual({ at });
  });

  it('does bounded work for a header of stars', () => {
    let tree: unknown = iso;
    for (let level = 0; level < 14; level++) tree = [tree, tree];
    const stars = '/*'.repeat(14);
    const variants = Array.from(
      { length: 100 },
      (_, n) => `#${n.toString(2).padStart(14, '*').replace(/./g, '/$&')}`,
    );
    const header = `#${stars},${variants.join(',')}`.slice(0, 4096).replace(/,[^,]*$/, '');
    // Processor time: what else the machine does is not the codec's work.
    const started = process.cpuUsage();
    expect(JSON.stringify(decode(JSON.stringify(tree), header))).toBe(JSON.stringify(tree));
    decode(JSON.stringify(Array(100_000).fill([])), Array(1000).fill('#/*').join(','));
    const keys = Array.from({ length: 500 }, (_, n) => `#/*/${n.toString(36).padStart(2, '0')}`).join(',');
    decode(JSON.stringify(Array(300_000).fill({})), keys);
    expect(process.cpuUsage(started).user / 1e3).toBeLessThan(2000);
  });

  it('remembers a bounded number of headers and still reads all of them', () => {
    for (let n = 0; n < 2000; n++) expect(decode(`{"k${n}":"${iso}"}`, `#/k${n}`)).toEqual({ [`k${n}`]: at });
    expect(decode(`{"k0":"${iso}"}`, '#/k0')).toEqual({ k0: at });
  });

  it('revives by many paths, in objects and arrays with more and with fewer keys than paths', () => {
    const keys = Array.from({ length: 100 }, (_, n) => `${n}`);
    const header = keys.map((key) => `#/${key}`).join(',');
    expect(decode(`{"7":"${iso}","x":"${iso}"}`, header)).toEqual({ 7: at, x: iso });
    expect(decode(`["${iso}"]`, header)).toEqual([at]);
    expect(decode(JSON.stringify(Array(101).fill(iso)), header)).toEqual([...Array<Date>(100).fill(at), iso]);
  });

  it('gives a value apart to each call', () => {
    const { body, datePaths } = codec.encode({ at, list: [at] });
    expect(codec.decode(body, datePaths)).not.toBe(codec.decode(body, datePaths));
    const parsed = codec.parse(body);
    expect(parsed).toEqual({ at: iso, list: [iso] });
    expect(codec.reviveDates(parsed, datePaths as string)).toEqual({ at, list: [at] });
  });
});

describe('round trip', () => {
  const KEYS = [
    'a',
    'b',
    'at',
    '*',
    '0',
    '1',
    'a/b',
    '~',
    '~1',
    '',
    'ż',
    ' ',
    ',',
    '"',
    '%2C',
    '__proto__',
    'toString',
  ];
  const LEAVES = [null, true, 0, -1.5, 1e21, '', 'x', iso, 'ż🦄', '__proto__'];

  /** mulberry32: the same values in every run. */
  function random(seed: number): () => number {
    let state = seed;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  function generate(next: () => number, depth: number): unknown {
    const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
    const kind = next();
    if (depth === 0 || kind < 0.2) return pick(LEAVES);
    if (kind < 0.45) return new Date(Math.floor((next() - 0.5) * 8e12));
    const size = Math.floor(next() * 5);
    if (kind < 0.7) return Array.from({ length: size }, () => generate(next, depth - 1));
    const object = {};
    for (let n = 0; n < size; n++) {
      const value = generate(next, depth - 1);
      Object.defineProperty(object, pick(KEYS), {
        value,
        enumerable: true,
        configurable: true,
        writable: true,
      });
    }
    return object;
  }

  it.each([
    ['as it is', (data: unknown) => data],
    ['through a toJSON', (data: unknown) => ({ toJSON: () => data })],
  ])('of 2,000 random values gives back each of them %s', (_, wrap) => {
    for (let seed = 1; seed <= 2000; seed++) {
      const data = generate(random(seed), 5);
      const { body, datePaths } = codec.encode(wrap(data));
      expect(Buffer.from(body).toString()).toBe(JSON.stringify(data));
      expect(codec.decode(body, datePaths)).toStrictEqual(data);
    }
  });
});
