import { isEventId, newEventId, receivedId } from '../../lib/core/event-id';

describe('a new event id', () => {
  it('is a random UUID of version 4, another one each time', () => {
    const ids = Array.from({ length: 1000 }, newEventId);

    for (const id of ids)
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(ids.every(isEventId)).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('has every digit in every place that is random', () => {
    const ids = Array.from({ length: 1000 }, newEventId);
    const fixed = new Map([
      [8, '-'],
      [13, '-'],
      [14, '4'],
      [18, '-'],
      [23, '-'],
    ]);
    for (let place = 0; place < 36; place++) {
      const found = [...new Set(ids.map((id) => id.charAt(place)))].sort().join('');
      expect([place, found]).toEqual([
        place,
        fixed.get(place) ?? (place === 19 ? '89ab' : '0123456789abcdef'),
      ]);
    }
  });
});

describe('F64 an id that is given', () => {
  it.each([
    '\ud800',
    '\udfff',
    'order-\ud83d',
    '\ude00-order',
    'a\ud83da',
    'a\u0000',
    'a\nb',
    '',
    'x'.repeat(257),
    7,
    null,
  ])('is refused: %j', (id) => {
    expect(isEventId(id)).toBe(false);
  });

  it.each(['order-😀', 'ä', 'x'.repeat(256), ' ', '\ufffd'])('is taken: %j', (id) => {
    expect(isEventId(id)).toBe(true);
  });
});

describe('F64 an id that arrives', () => {
  it('is taken as it is if it could have been emitted', () => {
    expect(receivedId('a%20b')).toBe('a b');
    expect(receivedId('x'.repeat(256))).toBe('x'.repeat(256));
    expect(receivedId('%')).toBe('%');
    expect(receivedId(undefined)).toBeUndefined();
    expect(receivedId('')).toBeUndefined();
    expect(receivedId('""')).toBeUndefined();
  });

  it('else is clean, bounded, the same each time, and another for another', () => {
    const long = 'x'.repeat(300);
    const odd = [
      '%00',
      '%01',
      '%0A',
      'a%0Ab',
      'a%0Bb',
      'ab%00',
      `${long}1`,
      `${long}2`,
      `${long}%0A`,
      '%1B[31mred',
      `a${encodeURIComponent('😀'.repeat(200))}`,
    ];
    const ids = odd.map((header) => receivedId(header) ?? '');
    for (const id of ids) expect(isEventId(id)).toBe(true);
    expect(new Set([...ids, 'ab', 'a b', '[31mred']).size).toBe(odd.length + 3);
    expect(odd.map(receivedId)).toEqual(ids);
    expect(receivedId('%1B[31mred')).toMatch(/^\[31mred~[0-9a-f]{32}$/);
  });
});
