import fc from 'fast-check';
import { parseAckSubject, type AckInfo } from '../../../lib/transports/nats/ack-subject';

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
