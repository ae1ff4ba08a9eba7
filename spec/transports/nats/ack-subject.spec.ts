import fc from 'fast-check';
import {
  ackPlace,
  ackPlaceOf,
  ackProbe,
  parseAckSubject,
  version2Prefix,
  type AckInfo,
} from '../../../lib/transports/nats/ack-subject';
import { Refusals } from '../../../lib/transports/nats/refusals';

const token = fc.stringMatching(/^[A-Za-z0-9_äß-]{1,12}$/);
const number = fc.integer({ min: 0, max: 999_999_999_999_999 }).map(String);
const short = fc.tuple(token, token, number, number, number, number, number);
const long = fc
  .tuple(token, token, short, token)
  .map(([domain, account, tokens, random]) => [domain, account, ...tokens, random]);

/** As the architecture document says it, token by token. */
function expected(tokens: readonly string[]): AckInfo {
  const [deliveries, sequence, , timestamp] = tokens.slice(tokens.length === 7 ? 2 : 4);
  return { deliveries: Number(deliveries), sequence: Number(sequence), timestamp: timestamp as string };
}

describe('the reply subject of a delivery', () => {
  it('tells deliveries, sequence and time, alone and among other bytes', () => {
    fc.assert(
      fc.property(fc.oneof(short, long), fc.string(), fc.string(), (tokens, before, after) => {
        const reply = `$JS.ACK.${tokens.join('.')}`;

        expect(parseAckSubject(reply)).toEqual(expected(tokens));
        if (Buffer.byteLength(reply) > reply.length) return;
        const piece = Buffer.from(before + reply + after);
        expect(parseAckSubject(reply, piece, Buffer.byteLength(before))).toEqual(expected(tokens));
      }),
    );
  });

  it('tells the same in both ways, whatever it is', () => {
    const scraps = fc.constantFrom('.', '..', '1', '23', 'a', '-', '9999999999999999', ' ');
    fc.assert(
      fc.property(fc.array(scraps, { maxLength: 24 }), (parts) => {
        const reply = `$JS.ACK.s.c.${parts.join('')}`;
        expect(parseAckSubject(reply, Buffer.from(`HMSG ${reply}`), 5)).toEqual(parseAckSubject(reply));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    '',
    '_INBOX.a.b',
    '$JS.ACK.',
    '$JS.ACK.s.c.1.2.3.4',
    '$JS.ACK.s.c.x.2.3.4.5',
    '$JS.ACK.s.c.1..3.4.5',
    '$JS.ACK.s.c.1.9999999999999999.3.4.5',
    '$JS.ACK.a.s.c.1.2.3.4.5',
    'x$JS.ACK.s.c.1.2.3.4.5',
  ])('is none: %j', (reply) => {
    expect(parseAckSubject(reply)).toBeUndefined();
    expect(parseAckSubject(reply, Buffer.from(`HMSG a 1 ${reply} 1 1`), 9)).toBeUndefined();
  });
});

describe('F76 the place where a consumer is acknowledged', () => {
  it('is the same for all its deliveries, in both versions', () => {
    const version2 = version2Prefix('_', 'szMpdrwD');
    for (const [delivery, place] of [
      ['$JS.ACK.s.c.1.2.3.4.5', ackPlace('s', 'c')],
      ['$JS.ACK._.szMpdrwD.s.c.1.2.3.4.5', ackPlace('s', 'c', version2)],
      ['$JS.ACK.hub.szMpdrwD.s.c.1.2.3.4.5.random', '$JS.ACK.hub.szMpdrwD.s.c.'],
    ] as const) {
      expect(ackPlaceOf(delivery)).toBe(place);
      expect(ackPlaceOf(ackProbe(place))).toBe(place);
    }
  });

  it.each(['$JS.ACK.s.c', '$JS.ACK.a.b.s.c.1.2.3.4', '$JS.API.INFO', 'x.$JS.ACK.s.c.1.2.3.4.5'])(
    'is none of %s',
    (subject) => {
      expect(ackPlaceOf(subject)).toBeUndefined();
    },
  );

  it('is refused and permitted as one', () => {
    const refusals = new Refusals();
    for (const [delivery, other] of [
      ['$JS.ACK.s.c.1.2.3.4.5', '$JS.ACK.s.d.1.2.3.4.5'],
      ['$JS.ACK._.h.s.c.1.2.3.4.5', '$JS.ACK._.h.s.d.1.2.3.4.5'],
    ] as const) {
      const place = ackPlaceOf(delivery) ?? '';
      refusals.add('publish', delivery);
      expect(refusals.has('publish', ackProbe(place))).toBe(true);
      expect(refusals.has('publish', other)).toBe(false);
      expect(refusals.sentences.at(-1)).toBe(`publish to "${place}>"`);
      refusals.lift('publish', ackProbe(place));
      expect(refusals.has('publish', delivery)).toBe(false);
    }
  });
});
