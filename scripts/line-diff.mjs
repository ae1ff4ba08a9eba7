/** The difference of two texts, for people. */

const CONTEXT_LINES = 2;

/** What differs, by the longest common subsequence of lines: only in `before` (-), only in `after` (+), and around it. */
export function linesThatDiffer(before, after) {
  const common = Array.from({ length: before.length + 1 }, () => new Array(after.length + 1).fill(0));
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      common[i][j] =
        before[i] === after[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const lines = [];
  for (let i = 0, j = 0; i < before.length || j < after.length;) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      lines.push(`  ${before[i++]}`);
      j++;
    } else if (j === after.length || (i < before.length && common[i + 1][j] >= common[i][j + 1])) {
      lines.push(`- ${before[i++]}`);
    } else {
      lines.push(`+ ${after[j++]}`);
    }
  }
  const isNear = (_line, at) =>
    lines
      .slice(Math.max(0, at - CONTEXT_LINES), at + CONTEXT_LINES + 1)
      .some((line) => !line.startsWith(' '));
  return lines
    .map((line, at) => (isNear(line, at) ? line : null))
    .flatMap((line, at, all) => {
      if (line !== null) return [line];
      return all[at - 1] === null ? [] : ['  ...'];
    });
}
