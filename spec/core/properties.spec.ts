import fc from 'fast-check';
import { asSubject } from '../../lib/core/subject';
import { decodeAttribute, encodeAttribute } from '../../lib/core/cloudevents';
import { EventsError, EventSerializationError } from '../../lib/core/errors';
import {
  assertEventName,
  assertPattern,
  MAX_EVENT_NAME_LENGTH,
  matches,
  overlap,
} from '../../lib/core/event-name';
import {
  checkHeaders,
  checkHeaderBytes,
  headerBytes,
  emptyHeaders,
  foldKey,
  isHeaderKey,
  type EventHeaders,
} from '../../lib/core/headers';
import { EventMessage } from '../../lib/core/event-message';
import { EncodedData, JsonCodec } from '../../lib/core/json-codec';
import { sanitize } from '../../lib/core/names';
import {
  decodeHeaders,
  decodeOwnHeaders,
  encodeEventHeaders,
  encodeHeaders,
} from '../../lib/transports/nats/header-block';
import { ReceivedMessage } from '../../lib/transports/nats/received-message';
import { lengthOf, wireMessageOf } from '../../lib/transports/nats/wire-message';

// Every run is the same run; a failure prints the seed and the path to its smallest case.
fc.configureGlobal({ seed: 20_240_501, numRuns: 300 });

/** Whether it was done; any other error than this one fails the test. */
function accepted(code: string, check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (error instanceof EventsError && error.code === code) return false;
    throw error;
  }
}

/** A message among others that came with it, of which so many bytes are the header block. */
function received(bytes: Buffer, headerLength: number): ReceivedMessage {
  const before = Buffer.from('MSG before 1 0\r\n\r\n');
  const piece = Buffer.concat([before, bytes, Buffer.from('\r\nPING\r\n')]);
  return new ReceivedMessage(
    'events.a.b',
    '',
    piece,
    before.length,
    before.length + bytes.length,
    headerLength,
    bytes.toString('latin1'),
  );
}

/** Any sequence of UTF-16 code units, halves of surrogate pairs among them. */
const anyString = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  fc.string({ unit: fc.constantFrom('\r', '\n', '\0', ' ', '\t', ':', '"', '%', '\\', 'a', 'ü', '\u2028') }),
);
const wellFormed = fc.string({ unit: 'binary', maxLength: 60 });

describe('event names', () => {
  const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/);
  const name = fc.array(token, { minLength: 1, maxLength: 6 }).map((tokens) => tokens.join('.'));
  const nearlyName = fc.string({
    unit: fc.constantFrom('a', 'Z', '0', '_', '-', '.', '.', '*', '>', ' ', '\n', '\r', '\0', '$', 'ü'),
    maxLength: 12,
  });

  /** By hand, without the expression that is put to the test. */
  const isName = (text: string): boolean =>
    text.length <= MAX_EVENT_NAME_LENGTH &&
    text.split('.').every((part) => part !== '' && [...part].every((each) => LETTERS.includes(each)));
  const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-';

  it('are accepted if and only if they are of the grammar', () => {
    const long = fc.nat(MAX_EVENT_NAME_LENGTH + 20).map((length) => 'x'.repeat(length));
    fc.assert(
      fc.property(fc.oneof(name, nearlyName, anyString, long), (text) => {
        expect(accepted('invalid_event_name', () => assertEventName(text))).toBe(isName(text));
      }),
    );
  });

  it('that are not even strings are refused', () => {
    fc.assert(
      fc.property(
        fc.anything().filter((value) => typeof value !== 'string'),
        (value) => {
          expect(accepted('invalid_event_name', () => assertEventName(value))).toBe(false);
          expect(accepted('invalid_pattern', () => assertPattern(value))).toBe(false);
        },
      ),
    );
  });

  it('are patterns, which mean themselves, and belong to `>` and to themselves with any tokens masked', () => {
    fc.assert(
      fc.property(name, fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }), (text, masks) => {
        const masked = text
          .split('.')
          .map((part, index) => (masks[index] ? '*' : part))
          .join('.');
        for (const pattern of [text, '>', masked]) {
          assertPattern(pattern);
          expect(matches(pattern, text)).toBe(true);
        }
        expect(matches(text, `${text}.x`)).toBe(false);
      }),
    );
  });
});

describe('patterns', () => {
  const token = fc.constantFrom('a', 'b');
  const name = fc.array(token, { minLength: 1, maxLength: 5 }).map((tokens) => tokens.join('.'));
  const pattern = fc
    .tuple(
      fc.array(fc.oneof(token, fc.constant('*')), { maxLength: 4 }),
      fc.boolean(),
      fc.constantFrom('a', '*'),
    )
    .map(([tokens, open, last]) =>
      [...tokens, ...(open ? ['>'] : tokens.length === 0 ? [last] : [])].join('.'),
    );

  const reference = (text: string): RegExp =>
    new RegExp(
      `^${text
        .split('.')
        .map((part) => (part === '>' ? '.+' : part === '*' ? '[^.]+' : part))
        .join('\\.')}$`,
    );

  const everyName = ((): string[] => {
    let names = ['a', 'b'];
    const all = [...names];
    for (let length = 2; length <= 5; length++) {
      names = names.flatMap((each) => [`${each}.a`, `${each}.b`]);
      all.push(...names);
    }
    return all;
  })();

  it('match the names their regular expression matches', () => {
    fc.assert(
      fc.property(pattern, name, (text, each) => {
        assertPattern(text);
        expect(matches(text, each)).toBe(reference(text).test(each));
      }),
      { numRuns: 1000 },
    );
  });

  it('overlap, in either order, if and only if some name matches both', () => {
    fc.assert(
      fc.property(pattern, pattern, (one, other) => {
        // The longest two have four tokens and `>`: what they share, they share within five tokens.
        const shared = everyName.some((each) => matches(one, each) && matches(other, each));
        expect(overlap(one, other)).toBe(shared);
        expect(overlap(other, one)).toBe(shared);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('headers', () => {
  const key = fc.oneof(
    fc.stringMatching(/^[!-9;-~]{1,12}$/),
    fc.constantFrom('__proto__', 'constructor', 'TraceParent', 'traceparent', 'X-Correlation-ID', 'Baggage'),
  );
  const anyMap = (keys: fc.Arbitrary<string>): fc.Arbitrary<Record<string, string>> =>
    fc
      .array(fc.tuple(keys, anyString), { maxLength: 6 })
      .map((entries) =>
        entries.reduce((map, [each, value]) => Object.assign(map, { [each]: value }), emptyHeaders()),
      );
  const lines = (block: Uint8Array): string[] =>
    Buffer.from(block)
      .toString('utf8')
      .split(/[\r\n]+/);
  const sorted = (headers: EventHeaders): [string, string][] =>
    Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));

  it('that are accepted arrive as they are, under their folded keys', () => {
    fc.assert(
      fc.property(anyMap(key), (given) => {
        fc.pre(
          accepted('invalid_header', () => {
            checkHeaders(given);
            checkHeaderBytes(headerBytes(given));
          }),
        );
        const checked = checkHeaders(given);
        const read = decodeHeaders(encodeHeaders(checked));

        expect(Object.keys(checked).sort()).toEqual([...new Set(Object.keys(given).map(foldKey))].sort());
        // Half of a surrogate pair has no UTF-8.
        expect(sorted(read!)).toEqual(
          sorted(checked).map(([each, value]) => [each, Buffer.from(value).toString()]),
        );
      }),
    );
  });

  it('never put a line of their own into the block', () => {
    fc.assert(
      fc.property(anyMap(fc.oneof(key, anyString)), (headers) => {
        let block: Uint8Array;
        try {
          block = encodeHeaders(headers);
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError);
          return;
        }
        expect(lines(block)).toHaveLength(Object.keys(headers).length + 2);
        expect(block.includes(0)).toBe(false);
      }),
    );
  });

  it('of an event are written without a record of them as they are with one, and read alike both ways', () => {
    const id = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
      .filter((text) => !/\p{Cc}/u.test(text));
    const event = fc.record({
      id,
      correlationId: fc.option(id, { nil: undefined }),
      causationId: fc.option(id, { nil: undefined }),
      datePaths: fc.constantFrom(undefined, '#', '#/at,#/a%2Cb/*'),
      own: fc.constantFrom<Record<string, string>[]>(
        {},
        { 'X-Own': 'own' },
        { 'X-Own': 'ö', traceparent: '00-1-2-01' },
      ),
    });
    fc.assert(
      fc.property(event, ({ datePaths, own, ...ids }) => {
        const outbound = { ...ids, name: 'a.b', source: 'shop', time: new Date(), data: 1, headers: own };
        const encoded = new EncodedData('1', datePaths);
        const headers = Object.keys(own).length === 0 ? undefined : own;
        const message = new EventMessage(outbound, 'shop', headers, encoded, outbound.time.toISOString());
        const block = Buffer.from(encodeEventHeaders(message));
        expect(block).toEqual(encodeHeaders(message.headers, message.messageId));
        expect(lengthOf(wireMessageOf(asSubject('c.a.b'), message))).toBe(block.length + 1);
        const read = decodeOwnHeaders(received(block, block.length));
        expect(read === undefined).toBe(headers !== undefined);
        if (read !== undefined) expect(Object.entries(read)).toEqual(Object.entries(decodeHeaders(block)!));
      }),
    );
  });

  it('of an event are not taken for what they resemble', () => {
    const of = (datePaths: string): Buffer => {
      const outbound = { id: 'i', name: 'a.b', source: 's', time: new Date(), data: 1, headers: {} };
      const ids = { correlationId: undefined, causationId: undefined };
      const encoded = new EncodedData('1', datePaths);
      return Buffer.from(
        encodeEventHeaders(
          new EventMessage({ ...outbound, ...ids }, 's', undefined, encoded, outbound.time.toISOString()),
        ),
      );
    };
    const own = (block: Buffer, length = block.length): unknown => decodeOwnHeaders(received(block, length));
    const block = of('#/at');
    expect(own(block)).toBeDefined();
    expect(own(block, block.length - 1)).toBeUndefined();
    expect(own(Buffer.concat([block, Buffer.from('{}')]))).toBeUndefined();
    expect(own(Buffer.concat([Buffer.from('x'), block]))).toBeUndefined();
    expect(own(of(`#/${'x'.repeat(17_000)}`.slice(0, 12_000)))).toBeDefined();
    for (const [given, other] of [
      ['ce-id', 'CE-Id'],
      ['#/at', '#/a t'],
      ['ce-source: s', 'ce-source: '],
      ['1.0\r\nce', '0.3\r\nce'],
    ] as const) {
      expect(own(Buffer.from(block.toString().replace(given, other)))).toBeUndefined();
    }
  });

  it('of any bytes are read, or told to be malformed', () => {
    const prefix = fc.constantFrom('', 'NATS/1.0', 'NATS/1.0\r\n', 'NATS/1.0 503\r\n', 'NATS/1.0\r\na: ');
    const scraps = fc.array(
      fc.oneof(
        fc
          .constantFrom('\r\n', '\n', ':', ': ', 'ce-id', 'CE-ID', '__proto__', 'x', ' ')
          .map((text) => Buffer.from(text)),
        fc.uint8Array({ maxLength: 6 }),
      ),
    );
    fc.assert(
      fc.property(prefix, scraps, (start, rest) => {
        const headers = decodeHeaders(Buffer.concat([Buffer.from(start), ...rest]));
        if (headers === undefined) return;
        expect('toString' in headers).toBe(false);
        for (const [each, value] of Object.entries(headers)) {
          expect(isHeaderKey(each)).toBe(true);
          expect(value).not.toMatch(/[\r\n\0]/);
        }
        // What was read can be written again: dead letters carry the headers on.
        expect(sorted(decodeHeaders(encodeHeaders(headers))!)).toEqual(sorted(headers));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('attributes', () => {
  it('of well-formed text are printable ASCII without space and quote, and arrive as they were', () => {
    const quoted = wellFormed.map((text) => `"${text}"`);
    const percent = fc.string({ unit: fc.constantFrom('%', '2', '5', 'F', '"', '\\', ' ', 'ä', '🎉') });
    fc.assert(
      fc.property(fc.oneof(wellFormed, quoted, percent), (text) => {
        const encoded = encodeAttribute(text);
        expect(encoded).toMatch(/^[\x21\x23-\x7e]*$/);
        expect(decodeAttribute(encoded)).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  it('of any text are written on one line and read', () => {
    fc.assert(
      fc.property(anyString, (text) => {
        expect(encodeAttribute(text)).toMatch(/^[\x21\x23-\x7e]*$/);
        expect(typeof decodeAttribute(text)).toBe('string');
      }),
    );
  });
});

it('a sanitised name is one token of a NATS name, without `__`, bounded, and stays what it is', () => {
  const odd = fc.string({ unit: fc.constantFrom('_', '-', ' ', '*', '>', '.', 'ü', 'a'), maxLength: 130 });
  const long = fc.stringMatching(/^[\w-]{95,140}$/);
  fc.assert(
    fc.property(fc.oneof(anyString, odd, long), (text) => {
      const token = sanitize(text);
      expect(token).toMatch(/^[A-Za-z0-9_-]{1,100}$/);
      expect(token).not.toContain('__');
      expect(sanitize(token)).toBe(token);
    }),
    { numRuns: 1000 },
  );
});

describe('the codec', () => {
  // Few keys, so that the slots of an array often have the same ones.
  const key = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('a', 'b', '*', '0', '1') },
    {
      weight: 2,
      arbitrary: fc.constantFrom('', '__proto__', 'constructor', 'toJSON', 'then', 'length', '/', '~', '~1'),
    },
    {
      weight: 2,
      arbitrary: fc.constantFrom('%', '%2C', ',', '#', 'a/b', '01', '-', ' ', '"', '\\', 'ü', '🎉'),
    },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 4 }) },
  );
  const date = fc.date({ noInvalidDate: true });
  const leaf = fc.oneof(
    { weight: 3, arbitrary: date },
    { weight: 2, arbitrary: date.map((each) => each.toISOString()) },
    { weight: 2, arbitrary: anyString },
    { weight: 1, arbitrary: fc.boolean() },
    { weight: 1, arbitrary: fc.constant(null) },
    {
      weight: 1,
      arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0 || 0),
    },
  );
  const { value } = fc.letrec<{ value: unknown; list: unknown[]; object: object }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5, depthSize: 'medium', withCrossShrink: true },
      leaf,
      tie('list'),
      tie('object'),
    ),
    list: fc.array(tie('value'), { maxLength: 4 }),
    object: fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map((entries) => {
      const object = {};
      for (const [each, property] of entries) {
        // An assignment to `__proto__` would not make a key.
        Object.defineProperty(object, each, {
          value: property,
          enumerable: true,
          configurable: true,
          writable: true,
        });
      }
      return object;
    }),
  }));

  /** Everything in it, own keys called `__proto__` and the difference between Dates and strings included. */
  function shown(data: unknown): string {
    if (data instanceof Date) return `Date(${data.getTime()})`;
    if (typeof data !== 'object' || data === null) return JSON.stringify(data);
    if (Array.isArray(data)) return `[${data.map(shown).join()}]`;
    expect(Object.getPrototypeOf(data)).toBe(Object.prototype);
    const entries = Object.entries(data).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${entries.map(([each, property]) => `${JSON.stringify(each)}:${shown(property)}`).join()}}`;
  }

  it('carries any JSON with Dates anywhere, and leaves it as it was', () => {
    const codec = new JsonCodec();
    let carried = 0;
    fc.assert(
      fc.property(value, (data) => {
        const before = shown(data);
        try {
          const { body, datePaths } = codec.encode(data);
          expect(shown(codec.decode(body, datePaths))).toBe(before);
          carried++;
        } catch (error) {
          // So many Dates that their paths are too long together.
          if (!(error instanceof EventSerializationError)) throw error;
          expect(error.message).toContain('the paths of the Dates');
        }
        expect(shown(data)).toBe(before);
      }),
      { numRuns: 2000 },
    );
    expect(carried).toBeGreaterThan(1900);
  });

  it('reads any bytes, or says that it cannot', () => {
    const codec = new JsonCodec();
    const scraps = fc
      .array(
        fc.constantFrom('{', '}', '[', ']', '"', ':', ',', '1', '-', 'e', 'null', '\\', '\\u', '\ufeff', ' '),
      )
      .map((parts) => Buffer.from(parts.join('')));
    const cut = value
      .map((data) => Buffer.from(JSON.stringify(data)))
      .chain((bytes) => fc.nat(bytes.length).map((end) => bytes.subarray(0, end)));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), scraps, cut), (bytes) => {
        accepted('undecodable', () => codec.decode(bytes, undefined));
      }),
      { numRuns: 1000 },
    );
  });

  it('ignores date paths that make no sense, and never changes anything but strings into Dates', () => {
    const codec = new JsonCodec();
    const scraps = fc
      .array(
        fc.constantFrom(
          '#',
          ',#',
          '/',
          '*',
          '~',
          '~0',
          '~1',
          '%',
          '%2C',
          '%FF',
          '0',
          '1',
          '-',
          'a',
          'length',
        ),
        { maxLength: 12 },
      )
      .map((parts) => parts.join(''));
    const path = fc.array(fc.oneof(key, fc.constant('*'))).map((keys) => `#/${keys.join('/')}`);
    const header = fc.oneof(anyString, scraps, fc.array(path, { minLength: 1 }).map(String));
    fc.assert(
      fc.property(value, header, (data, datePaths) => {
        const body = Buffer.from(JSON.stringify(data));
        const read = codec.decode(body, datePaths);
        // The other forms of a date than ours are not in the data: written again, they are what they were.
        expect(shown(JSON.parse(JSON.stringify(read)))).toBe(shown(JSON.parse(body.toString())));
        expect(Object.keys(Object.prototype)).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });
});
