/** @returns the value below which the fraction `at` of the values lies, interpolated */
export function quantile(values, at) {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const place = (sorted.length - 1) * at;
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

export const median = (values) => quantile(values, 0.5);

/** @returns {{ q1: number, median: number, q3: number, count: number }} */
export const spread = (values) => ({
  q1: quantile(values, 0.25),
  median: median(values),
  q3: quantile(values, 0.75),
  count: values.length,
});

/** Of each round the one's value by the other's: what slowed the machine in a round slowed both. */
export const ratios = (values, base) => values.map((value, round) => value / base[round]);
