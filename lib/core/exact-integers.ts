/** A number that may be too long, where a value can stand: most bodies have none, and are looked at no further. */
const SUSPECT = /(?:^|[:[,])\s*-?\d(?:\d{15}|[\d.]*[eE]\+?\d\d)/;
const INTEGER = /^-?\d+$/;
const QUOTE = 34;
const BACKSLASH = 92;
const MINUS = 45;

/**
 * JSON in which integers that a number would round stand as texts: other languages have longer ones.
 * @param json valid
 * @returns `undefined` if there are none
 */
export function integersAsTexts(json: string): string | undefined {
  if (!SUSPECT.test(json)) return undefined;
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

function endOfText(json: string, start: number): number {
  let at = start;
  while (json.charCodeAt(at) !== QUOTE) at += json.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at + 1;
}

const isDigit = (code: number): boolean => code >= 48 && code <= 57;

/** `+`, `-`, `.`, `E`, `e` and digits. */
const isInNumber = (code: number): boolean =>
  isDigit(code) || code === 43 || code === MINUS || code === 46 || code === 69 || code === 101;

/** Fractions are approximate in every language. What another JavaScript wrote comes back as it was. */
function isRounded(literal: string): boolean {
  const value = Number(literal);
  if (!Number.isFinite(value)) return true;
  if (!INTEGER.test(literal) || Number.isSafeInteger(value) || String(value) === literal) return false;
  return BigInt(value) !== BigInt(literal);
}
