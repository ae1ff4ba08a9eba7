import { InboundEvent } from '../../lib/core/inbound-event';
import type { Delivery } from '../../lib/core/transport';

const inbound = (headers: Record<string, string>, more: Partial<Delivery> = {}): InboundEvent =>
  new InboundEvent(
    {
      subject: 'events.user.created',
      name: 'user.created',
      headers,
      body: Buffer.from('1'),
      attempt: 2,
      storedAt: 7,
      fallbackId: 'events-5',
      ...more,
    },
    'Mail.send',
    1000,
  );

describe('an event that arrives', () => {
  it('has the attributes of its headers, decoded', () => {
    const event = inbound({
      'ce-id': 'id%201',
      'ce-source': 'sh%C3%B6p',
      'ce-time': '1970-01-01T00%3A00:00.005Z',
      'ce-correlationid': 'c%201',
      'ce-causationid': 'cause',
    });
    expect(event.id).toBe('id 1');
    expect(event.source).toBe('shöp');
    expect(event.time).toEqual(new Date(5));
    expect(event.correlationId).toBe('c 1');
    expect(event.causationId).toBe('cause');
    expect([event.name, event.attempt, event.subscription]).toEqual(['user.created', 2, 'Mail.send']);
  });

  it('has an id, a source, a time and a correlation even if its sender gave none', () => {
    const event = inbound({ 'ce-id': '' });
    expect([event.id, event.correlationId, event.source]).toEqual(['events-5', 'events-5', 'unknown']);
    expect(event.time).toEqual(new Date(7));
    expect(event.causationId).toBeUndefined();
    expect(inbound({ 'ce-time': 'yesterday' }).time).toEqual(new Date(7));
    expect(inbound({ 'x-correlation-id': 'theirs' }).correlationId).toBe('theirs');
  });

  it('has ids that are safe to log: no control characters, bounded', () => {
    const event = inbound({ 'ce-id': `%1B[31mred%0A${'x'.repeat(1000)}`, 'ce-source': 'a%0Db' });
    expect(event.id).toMatch(/^\[31mredx+~[0-9a-f]{32}$/);
    expect(event.id.length).toBeLessThanOrEqual(256);
    expect(event.source).toMatch(/^ab~[0-9a-f]{32}$/);
  });

  it('shows the user’s headers and the trace headers, and none of the package or the server, frozen', () => {
    const event = inbound({
      'X-Own': 'own',
      traceparent: '00-a',
      'ce-id': '1',
      'Nats-Msg-Id': 'x',
      'Event-Redrives': '1',
      'content-type': 'application/json',
    });
    expect({ ...event.headers }).toEqual({ 'X-Own': 'own', traceparent: '00-a' });
    expect(Object.isFrozen(event.headers)).toBe(true);
    expect(event.headers).toBe(event.headers);
  });

  it('has a signal that tells when nobody waits any more, whether it was asked for before or after', () => {
    const event = inbound({});
    const { signal } = event;
    expect(signal.aborted).toBe(false);
    event.abort(new Error('too late'));
    expect(signal.aborted).toBe(true);
    expect(event.signal).toBe(signal);

    const other = inbound({});
    other.abort('reason');
    expect([other.signal.aborted, other.signal.reason]).toEqual([true, 'reason']);
  });
});
