import { text } from '../core/checks';
import type { EventContract } from '../core/contract';
import { EventsConfigurationError } from '../core/errors';
import type { SubscribeOptions } from '../core/handler-definition';
import { isObject, wrong } from '../core/settings';
import type { OnEventMetadata } from './on-event.decorator';

/** What one method asks for: patterns that share their options, each once. */
export interface DeclaredHandler {
  readonly patterns: readonly string[];
  readonly options: SubscribeOptions;
  readonly contracts?: readonly EventContract[];
}

/**
 * What the decorators of one method ask for: those with the same options are one handler. Different options are different
 * handlers, which need names of their own. Takes what any copy of this package wrote.
 * @param defaultName `Class.method`
 * @throws EventsConfigurationError naming the method
 */
export function declaredHandlers(
  defaultName: string,
  decorators: readonly OnEventMetadata[],
): readonly DeclaredHandler[] {
  const only = decorators[0];
  if (only === undefined || decorators.length > 1) return joined(defaultName, decorators);
  const { patterns, options, contracts } = only;
  // Most methods have one decorator with one pattern, which says what they ask for as it is.
  const declared = subscribeOptionsOf(options);
  return declared === options && patterns.length === 1
    ? decorators
    : [{ patterns: [...new Set(patterns)], options: declared, contracts }];
}

interface Group {
  readonly patterns: Set<string>;
  readonly options: SubscribeOptions;
  readonly contracts: EventContract[];
}

function joined(defaultName: string, decorators: readonly OnEventMetadata[]): DeclaredHandler[] {
  const groups = new Map<string, Group>();
  for (const { patterns, options: declared, contracts = [] } of decorators) {
    const options = subscribeOptionsOf(declared);
    const key = JSON.stringify(sorted(options));
    const group = groups.get(key);
    if (group === undefined)
      groups.set(key, { patterns: new Set(patterns), options, contracts: [...contracts] });
    else {
      for (const pattern of patterns) group.patterns.add(pattern);
      group.contracts.push(...contracts);
    }
  }
  const handlers = [...groups.values()];
  const names = handlers.map(({ options }) => handlerName(defaultName, options));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new EventsConfigurationError(
      'name',
      `${defaultName} has several @OnEvent with different options and the identity '${twice}': ` +
        'give each its own `name`, or make the options equal',
    );
  }
  return handlers.map(({ patterns, ...rest }) => ({ patterns: [...patterns], ...rest }));
}

/**
 * @param options what is no object is refused where it is read
 * @throws EventsConfigurationError naming the method if its `name` is none
 */
export function handlerName(defaultName: string, options: SubscribeOptions): string {
  const name = isObject(options) && options.name !== undefined ? options.name : defaultName;
  if (name !== defaultName && !text.accepts(name)) throw wrong(`${defaultName}.name`, text.allowed, name);
  return name;
}

function subscribeOptionsOf(declared: OnEventMetadata['options']): SubscribeOptions {
  if (!isObject(declared) || !Object.hasOwn(declared, 'decorated')) return declared;
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
