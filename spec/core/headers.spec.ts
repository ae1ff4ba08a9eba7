import { EventsError } from '../../lib/core/errors';
import { checkHeaders, foldKey, isReserved } from '../../lib/core/headers';

describe('headers given to emit', () => {
  it('are copied, trimmed as a NATS client reads them, without a prototype', () => {
    const given = { 'X-Tenant': ' acme ', empty: '', tab: 'a\tb', unicode: 'Ünïcødé 🎉' };
    const checked = checkHeaders(given);
    expect({ ...checked }).toEqual({ 'X-Tenant': 'acme', empty: '', tab: 'a\tb', unicode: 'Ünïcødé 🎉' });
    expect('toString' in checked).toBe(false);
    expect(given['X-Tenant']).toBe(' acme ');
  });

  it('cannot reach a prototype by their names', () => {
    const checked = checkHeaders(JSON.parse('{"__proto__":"x","constructor":"y"}') as Record<string, string>);
    expect(Object.keys(checked).sort()).toEqual(['__proto__', 'constructor']);
    expect('toString' in checked).toBe(false);
  });

  it('are kept under one spelling where others write them in any', () => {
    expect({
      ...checkHeaders({ TraceParent: '00-a', Baggage: 'b', 'X-Correlation-ID': 'c', 'X-Own': 'd' }),
    }).toEqual({
      traceparent: '00-a',
      baggage: 'b',
      'x-correlation-id': 'c',
      'X-Own': 'd',
    });
    expect(foldKey('CE-Type')).toBe('ce-type');
  });

  it.each([
    ['', 'x'],
    ['a b', 'x'],
    ['a:b', 'x'],
    ['a\r\nb', 'x'],
    ['ü', 'x'],
    ['Nats-Msg-Id', 'x'],
    ['NATS-ROLLUP', 'all'],
    ['ce-id', 'x'],
    ['CE-Id', 'x'],
    ['Event-Redrives', '1'],
    ['event-failure-reason', 'x'],
    ['Content-Type', 'text/plain'],
    ['x', 'a\r\nb'],
    ['x', 'a\nb'],
    ['x', 'a\0b'],
    ['x', 7],
    ['x', undefined],
    ['x', ['a']],
  ])('are refused: %j with the value %j', (key, value) => {
    const check = (): unknown => checkHeaders({ [key]: value } as Record<string, string>);
    expect(check).toThrow(EventsError);
    expect(check).toThrow(expect.objectContaining({ code: 'invalid_header' }) as Error);
  });

  it('are reserved in any case', () => {
    expect(['nats-x', 'CE-X', 'Event-X', 'CONTENT-TYPE'].every(isReserved)).toBe(true);
    expect(['x-nats-x', 'ceo', 'eventual', 'content-types'].some(isReserved)).toBe(false);
  });
});
