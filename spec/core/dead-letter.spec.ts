import {
  deadLetterHeaders,
  MAX_FAILURE_HEADER_BYTES,
  type DeadLetterOrigin,
} from '../../lib/core/dead-letter';
import type { EventHeaders } from '../../lib/core/headers';
import type { Failure } from '../../lib/core/settlement';

const FAILURE: Failure = { reason: 'attempts_exhausted', type: 'TypeError', message: 'no such account' };
const ORIGIN: DeadLetterOrigin = {
  stream: 'shop',
  sequence: 7,
  subject: 'shop.order.placed',
  storedAt: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  durable: 'mail__Mail-send',
  app: 'mail',
  handler: 'Mail.send',
  attempts: 3,
  firstFailedAt: Date.UTC(2026, 0, 2, 3, 5),
  lastFailedAt: Date.UTC(2026, 0, 2, 3, 6),
};

const addedBytes = (headers: EventHeaders): number =>
  Object.entries(headers)
    .filter(([key]) => key.startsWith('Event-'))
    .reduce((sum, [key, value]) => sum + Buffer.byteLength(`${key}: ${value}\r\n`), 0);

describe('the headers of a dead letter', () => {
  it('are those of the event, then failure and origin', () => {
    const original = { 'ce-id': '1', 'content-type': 'application/json', 'x-tenant': 'Łódź' };
    expect({ ...deadLetterHeaders(original, FAILURE, ORIGIN) }).toEqual({
      ...original,
      'Event-Failure-Reason': 'attempts_exhausted',
      'Event-Failure-Type': 'TypeError',
      'Event-Failure-Message': 'no such account',
      'Event-Failure-Attempts': '3',
      'Event-Failure-First-At': '2026-01-02T03:05:00.000Z',
      'Event-Failure-Last-At': '2026-01-02T03:06:00.000Z',
      'Event-Origin-Stream': 'shop',
      'Event-Origin-Sequence': '7',
      'Event-Origin-Subject': 'shop.order.placed',
      'Event-Origin-Time': '2026-01-02T03:04:05.678Z',
      'Event-Origin-Durable': 'mail__Mail-send',
      'Event-Origin-App': 'mail',
      'Event-Origin-Handler': 'Mail.send',
    });
  });

  it('leave out what the server and an earlier dead letter wrote, in any case', () => {
    const original = {
      'Nats-Msg-Id': 'a',
      'nats-expected-stream': 'b',
      'event-failure-reason': 'forged',
      'EVENT-ORIGIN-APP': 'forged',
      'Event-Failure-Message': 'forged',
      'Event-Redrives': '2',
      'natsy-header': 'kept',
    };
    const headers = deadLetterHeaders(original, FAILURE, ORIGIN);
    const keys = Object.keys(headers);
    expect(keys.filter((key) => /^nats-/i.test(key))).toEqual([]);
    expect(Object.values(headers)).not.toContain('forged');
    expect(headers).toMatchObject({ 'natsy-header': 'kept' });
    expect(headers).not.toHaveProperty('Event-Redrives'); // of whoever sent it
    const again = deadLetterHeaders(headers, FAILURE, { ...ORIGIN, redrives: 3 });
    expect(again).toMatchObject({ 'Event-Redrives': '3' });
    expect(new Set(keys.map((key) => key.toLowerCase())).size).toBe(keys.length);
  });

  it('never reach an object prototype', () => {
    const original = JSON.parse('{"__proto__":"a","constructor":"b"}') as EventHeaders;
    const headers = deadLetterHeaders(original, FAILURE, ORIGIN);
    expect('toString' in headers).toBe(false);
    expect(Object.entries(headers)).toEqual(
      expect.arrayContaining([
        ['__proto__', 'a'],
        ['constructor', 'b'],
      ]),
    );
  });

  it('are on one line each, whatever was thrown', () => {
    const message = '  first\r\nNats-Msg-Id: forged\0\u0085\u2028last\ud800\t ';
    const headers = deadLetterHeaders({}, { ...FAILURE, type: 'My\nError', message }, ORIGIN);
    expect(headers['Event-Failure-Type']).toBe('My Error');
    expect(headers['Event-Failure-Message']).toBe('first Nats-Msg-Id: forged last\ufffd');
  });

  it('take a name that is no string', () => {
    const type = Symbol('odd') as unknown as string;
    expect(deadLetterHeaders({}, { ...FAILURE, type }, ORIGIN)['Event-Failure-Type']).toBe('Symbol(odd)');
  });

  it.each(['m', 'é', '語', '😀', 'ab '])('cut a message of %j, never inside a code point', (unit) => {
    const message = unit.repeat(100_000);
    const headers = deadLetterHeaders({}, { ...FAILURE, message }, ORIGIN);
    const kept = headers['Event-Failure-Message'] ?? '';
    expect(message.startsWith(kept)).toBe(true);
    expect(Buffer.from(kept).toString()).toBe(kept);
    expect(kept).toBe(kept.trim());
    expect(addedBytes(headers)).toBeLessThanOrEqual(MAX_FAILURE_HEADER_BYTES);
    expect(addedBytes(headers)).toBeGreaterThan(MAX_FAILURE_HEADER_BYTES - 5);
  });

  it('leave room for a message when every name is as long as it can be', () => {
    const long = '語'.repeat(1000);
    const origin = { ...ORIGIN, stream: long, subject: long, durable: long, app: long, handler: long };
    const headers = deadLetterHeaders({}, { ...FAILURE, type: long, message: long }, origin);
    expect(addedBytes(headers)).toBeLessThanOrEqual(MAX_FAILURE_HEADER_BYTES);
    expect(Buffer.byteLength(headers['Event-Failure-Type'] ?? '')).toBeLessThanOrEqual(100);
    expect(headers['Event-Failure-Message']?.length).toBeGreaterThan(50);
  });
});
