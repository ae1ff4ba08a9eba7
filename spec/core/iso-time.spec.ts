import fc from 'fast-check';
import { formatIsoTime, parseIsoTime } from '../../lib/core/iso-time';

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
        const time = isRare(text) ? undefined : byDate(text);
        expect(parseIsoTime(text)).toBe(time);
        expect(parseIsoTime(text)).toBe(time); // once more, from what is kept of it
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

describe('formatIsoTime', () => {
  it('writes every time as Date does, again and again', () => {
    const time = fc.oneof(
      fc.date({ noInvalidDate: true }),
      fc.constantFrom(...[0, -1, 8.64e15, -8.64e15, Date.UTC(50, 0)].map((ms) => new Date(ms))),
    );
    fc.assert(
      fc.property(time, (date) => {
        expect(formatIsoTime(date)).toBe(date.toISOString());
        expect(formatIsoTime(new Date(date))).toBe(date.toISOString());
        expect(parseIsoTime(date.toISOString())).toBe(
          isRare(date.toISOString()) ? undefined : date.getTime(),
        );
      }),
      RUNS,
    );
  });

  it('writes the time that a Date is, not the one that its class tells', () => {
    class Told extends Date {
      override getTime(): number {
        return 0;
      }
    }
    const date = new Told('2026-01-02T03:04:05.006Z');
    expect(formatIsoTime(new Date(0))).toBe('1970-01-01T00:00:00.000Z');
    expect(formatIsoTime(date)).toBe('2026-01-02T03:04:05.006Z');
  });

  it('gives nothing for an invalid Date, at any time', () => {
    expect(formatIsoTime(new Date(Number.NaN))).toBeUndefined();
    expect(formatIsoTime(new Date(1))).toBe('1970-01-01T00:00:00.001Z');
    expect(formatIsoTime(new Date(Number.NaN))).toBeUndefined();
  });
});
