/** Digits of the shortest integer that a number may round. */
const SAFE_DIGITS = 16;
const INTEGER = /^-?\d+$/;
const QUOTE = 34;
const BACKSLASH = 92;
const MINUS = 45;
const POINT = 46;

/**
 * JSON in which integers that a number would round stand as texts: other languages have longer ones.
 * @param json valid
 * @returns `undefined` if there are none
 */
export function integersAsTexts(json: string): string | undefined {
  if (!hasLongInteger(json)) return undefined;
  let text = '';
  let copied = 0;
  let at = 0;
  while (at < json.length) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) at = endOfText(json, at + 1);
    else if (code === MINUS || isDigit(code)) {
      const start = at;
      while (at < json.length && isInNumber(json.charCodeAt(at))) at++;
      const literal = json.slice(start, at);
      if (!isRounded(literal)) continue;
      text += `${json.slice(copied, start)}"${literal}"`;
      copied = at;
    } else at++;
  }
  return copied === 0 ? undefined : text + json.slice(copied);
}

/**
 * Tells whether there may be an integer of SAFE_DIGITS or more: such a run of digits covers a place of each SAFE_DIGITS, so most of the
 * text is not looked at. Fractions, and texts that begin with digits, are none.
 */
function hasLongInteger(json: string): boolean {
  const { length } = json;
  for (let at = SAFE_DIGITS - 1; at < length; at += SAFE_DIGITS) {
    if (!isDigit(json.charCodeAt(at))) continue;
    let start = at;
    while (start > 0 && isDigit(json.charCodeAt(start - 1))) start--;
    while (at + 1 < length && isDigit(json.charCodeAt(at + 1))) at++;
    if (at - start + 1 < SAFE_DIGITS) continue;
    const before = start === 0 ? 0 : json.charCodeAt(start - 1);
    if (before !== POINT && before !== QUOTE) return true;
  }
  return false;
}

function endOfText(json: string, start: number): number {
  let at = start;
  while (json.charCodeAt(at) !== QUOTE) at += json.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at + 1;
}

const isDigit = (code: number): boolean => code >= 48 && code <= 57;

/** `+`, `-`, `.`, `E`, `e` and digits. */
const isInNumber = (code: number): boolean =>
  isDigit(code) || code === 43 || code === MINUS || code === POINT || code === 69 || code === 101;

/** Fractions and exponents are approximate in every language. What another JavaScript wrote comes back as it was. */
function isRounded(literal: string): boolean {
  if (!INTEGER.test(literal)) return false;
  const value = Number(literal);
  if (Number.isSafeInteger(value) || String(value) === literal) return false;
  return !Number.isFinite(value) || BigInt(value) !== BigInt(literal);
}
