import { isWildcard, matches } from '../../core/event-name';

/** Whether an event of this name is one of those that the patterns mean. */
export type SubjectFilter = (name: string) => boolean;

export function subjectFilter(patterns: readonly string[]): SubjectFilter {
  const only = patterns[0];
  // Nearly every durable has one name, and a set of one takes 140 bytes.
  if (only !== undefined && patterns.length === 1 && !isWildcard(only)) return exactly(only);
  const exact = new Set(patterns.filter((pattern) => !isWildcard(pattern)));
  const wildcards = patterns.filter(isWildcard);
  return (name) => exact.has(name) || wildcards.some((pattern) => matches(pattern, name));
}

const exactly =
  (only: string): SubjectFilter =>
  (name) =>
    name === only;
