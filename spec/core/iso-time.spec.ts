import fc from 'fast-check';
import { parseIsoTime } from '../../lib/core/iso-time';

// Every run is the same run; a failure prints the seed and the path to its smallest case.
const RUNS = { seed: 20_240_501, numRuns: 3000 };

const pad = (value: number, length = 2): string => String(value).padStart(length, '0');
const dates = fc.date({
  min: new Date('0100-01-01T00:00:00.000Z'),
  max: new Date('9999-12-31T23:59:59.999Z'),
  noInvalidDate: true,
});
/** Of the right form, and often of no day or hour that there is. */
const forms = fc
  .tuple(fc.nat(9999), fc.nat(13), fc.nat(32), fc.nat(25), fc.nat(61), fc.nat(61), fc.nat(999))
  .map(
    ([year, month, day, hour, minute, second, ms]) =>
      `${pad(year, 4)}-${pad(month)}-${pad(day)}T${pad(hour)}:${pad(minute)}:${pad(second)}.${pad(ms, 3)}Z`,
  );
const texts = fc.oneof(
  forms,
  dates.map((date) => date.toISOString()),
);
const spoilt = fc
  .tuple(texts, fc.nat(30), fc.constantFrom('', 'x', '-', ' ', '९', '/', ':', '1', '9', '\0'))
  .map(([text, at, other]) => text.slice(0, at) + other + text.slice(at + 1));

/** What `Date` makes of a text that it would write itself. */
function byDate(text: string): number | undefined {
  const time = new Date(text).getTime();
  return !Number.isNaN(time) && new Date(time).toISOString() === text ? time : undefined;
}
const isRare = (text: string): boolean => !/^\d{4}-/.test(text) || text.startsWith('00');

describe('parseIsoTime', () => {
  it('reads every time of the years 100 to 9999 as Date does', () => {
    fc.assert(
      fc.property(dates, (date) => {
        expect(parseIsoTime(date.toISOString())).toBe(date.getTime());
      }),
      RUNS,
    );
  });

  it('reads what Date would write, and nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(texts, spoilt), (text) => {
        expect(parseIsoTime(text)).toBe(isRare(text) ? undefined : byDate(text));
      }),
      RUNS,
    );
  });

  it.each([
    ['2000-02-29T00:00:00.000Z', 951782400000],
    ['1900-02-29T00:00:00.000Z', undefined],
    ['2023-02-29T00:00:00.000Z', undefined],
    ['2023-04-31T00:00:00.000Z', undefined],
    ['2023-01-01T24:00:00.000Z', undefined],
    ['2023-01-01T23:59:60.000Z', undefined],
    ['2023-01-01T00:00:00Z', undefined],
    ['2023-01-01T00:00:00.000+00:00', undefined],
    ['0099-12-31T23:59:59.999Z', undefined],
    ['0100-01-01T00:00:00.000Z', -59011459200000],
    ['+010000-01-01T00:00:00.000Z', undefined],
    ['', undefined],
  ])('%s', (text, time) => {
    expect(parseIsoTime(text)).toBe(time);
  });
});
