import { text } from '../core/checks';
import { EventsConfigurationError } from '../core/errors';
import type { SubscribeOptions } from '../core/handler-definition';
import { wrong } from '../core/settings';
import type { OnEventMetadata } from './on-event.decorator';

/**
 * What the decorators of one method ask for: those with the same options are one handler. Different options are different
 * handlers, which need names of their own.
 * @param defaultName `Class.method`
 * @throws EventsConfigurationError naming the method
 */
export const joinedDecorators = (
  defaultName: string,
  decorators: readonly OnEventMetadata[],
): readonly OnEventMetadata[] =>
  // Most methods have one, which needs no comparison.
  decorators.length === 1 ? decorators : joined(defaultName, decorators);

function joined(defaultName: string, decorators: readonly OnEventMetadata[]): OnEventMetadata[] {
  const groups = new Map<string, { patterns: string[]; options: SubscribeOptions }>();
  for (const { patterns, options } of decorators) {
    const key = JSON.stringify(sorted(options));
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { patterns: [...patterns], options });
    else group.patterns.push(...patterns);
  }
  const handlers = [...groups.values()].map(({ patterns, options }) => ({
    patterns: [...new Set(patterns)],
    options,
  }));
  const names = handlers.map(({ options }) => handlerName(defaultName, options));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new EventsConfigurationError(
      'name',
      `${defaultName} has several @OnEvent with different options and the identity '${twice}': ` +
        'give each its own `name`, or make the options equal',
    );
  }
  return handlers;
}

/** @throws EventsConfigurationError naming the method if its `name` is none */
export function handlerName(defaultName: string, { name = defaultName }: SubscribeOptions): string {
  if (name !== defaultName && !text.accepts(name)) throw wrong(`${defaultName}.name`, text.allowed, name);
  return name;
}

const sorted = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
    ? Object.fromEntries(
        Object.entries(value)
          .filter(([, each]) => each !== undefined)
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([key, each]) => [key, sorted(each)]),
      )
    : value;
