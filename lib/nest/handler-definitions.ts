import { text } from '../core/checks';
import { EventsConfigurationError } from '../core/errors';
import type { SubscribeOptions } from '../core/handler-definition';
import { wrong } from '../core/settings';
import type { OnEventMetadata, OnEventOptions } from './on-event.decorator';

/** What one method asks for: patterns that share their options, under one identity. */
export interface DeclaredHandler {
  readonly name: string;
  readonly patterns: readonly string[];
  readonly options: SubscribeOptions;
}

/**
 * Joins the decorators of one method: those with the same options are one handler. Different options are different
 * handlers, which need names of their own.
 * @param defaultName `Class.method`
 * @throws EventsConfigurationError naming the method
 */
export function declaredHandlers(
  defaultName: string,
  decorators: readonly OnEventMetadata[],
): DeclaredHandler[] {
  // Most methods have one, which needs no comparison.
  const only = decorators[0];
  return only !== undefined && decorators.length === 1
    ? [handlerOf(defaultName, only)]
    : joined(defaultName, decorators);
}

function joined(defaultName: string, decorators: readonly OnEventMetadata[]): DeclaredHandler[] {
  const groups = new Map<string, { patterns: string[]; options: SubscribeOptions }>();
  for (const { patterns, options: declared } of decorators) {
    const options = subscribeOptionsOf(declared);
    const key = JSON.stringify(sorted(options));
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { patterns: [...patterns], options });
    else group.patterns.push(...patterns);
  }
  const handlers = [...groups.values()].map((group) => handlerOf(defaultName, group));
  const twice = handlers.find(({ name }, i) => handlers.findIndex((other) => other.name === name) !== i);
  if (twice !== undefined) {
    throw new EventsConfigurationError(
      'name',
      `${defaultName} has several @OnEvent with different options and the identity '${twice.name}': ` +
        'give each its own `name`, or make the options equal',
    );
  }
  return handlers;
}

function handlerOf(defaultName: string, { patterns, options: declared }: OnEventMetadata): DeclaredHandler {
  const options = subscribeOptionsOf(declared);
  const { name = defaultName } = options;
  if (name !== defaultName && !text.accepts(name)) throw wrong(`${defaultName}.name`, text.allowed, name);
  return { name, patterns: patterns.length === 1 ? patterns : [...new Set(patterns)], options };
}

function subscribeOptionsOf(declared: OnEventOptions): SubscribeOptions {
  // Most handlers have none.
  if (!Object.hasOwn(declared, 'decorated')) return declared;
  const { decorated: _typesOnly, ...options } = declared;
  return options;
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
