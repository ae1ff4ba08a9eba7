import { isWildcard, matches } from '../../core/event-name';

/** Which names of events some patterns mean. That of nearly every durable is one name, which needs nothing around it. */
export type SubjectFilter = string | ((name: string) => boolean);

export function subjectFilter(patterns: readonly string[]): SubjectFilter {
  const only = patterns[0];
  return only !== undefined && patterns.length === 1 && !isWildcard(only) ? only : anyOf(patterns);
}

function anyOf(patterns: readonly string[]): SubjectFilter {
  const exact = new Set(patterns.filter((pattern) => !isWildcard(pattern)));
  const wildcards = patterns.filter(isWildcard);
  return (name) => exact.has(name) || wildcards.some((pattern) => matches(pattern, name));
}

/** Whether an event of this name is one of those. */
export const passes = (filter: SubjectFilter, name: string): boolean =>
  typeof filter === 'string' ? filter === name : filter(name);
