const ZERO = 48;
/** With more, it might be no exact number. */
const MAX_DIGITS = 15;

/** The number that is written there; `undefined` if there is anything but digits, or nothing. */
export function numberIn(bytes: Uint8Array, from: number, to: number): number | undefined {
  if (to <= from || to - from > MAX_DIGITS) return undefined;
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = (bytes[at] as number) - ZERO;
    if (digit < 0 || digit > 9) return undefined;
    value = 10 * value + digit;
  }
  return value;
}
