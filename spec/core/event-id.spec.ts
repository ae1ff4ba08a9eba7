import { isEventId, newEventId } from '../../lib/core/event-id';

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
