import { isWildcard, matches } from '../../core/event-name';

/** Whether an event of this name is one of those that the patterns mean. */
export type SubjectFilter = (name: string) => boolean;

export function subjectFilter(patterns: readonly string[]): SubjectFilter {
  const only = patterns[0];
  // A set of one takes 140 bytes, and every durable has a filter.
  if (only !== undefined && patterns.length === 1 && !isWildcard(only)) return (name) => name === only;
  const exact = new Set(patterns.filter((pattern) => !isWildcard(pattern)));
  const wildcards = patterns.filter(isWildcard);
  return (name) => exact.has(name) || wildcards.some((pattern) => matches(pattern, name));
}
