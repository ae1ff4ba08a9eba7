import { isStandardSchema, type EventContract } from '../../core/contract';
import { EventsConfigurationError } from '../../core/errors';
import { assertEventName } from '../../core/event-name';
import { isObject, wrong } from '../../core/settings';

/**
 * The contracts of a list or a record, as a list.
 * @throws EventsConfigurationError naming the entry that is no contract, or the second one of a name
 */
export function resolveEvents(events: unknown): readonly EventContract[] {
  if (events === undefined) return Object.freeze([]);
  const isList = Array.isArray(events);
  // A lone contract, a Map or a Set would pass for a record.
  if (!isList && (!isObject(events) || Symbol.iterator in events || isContract(events))) {
    throw wrong('events', 'a list or a record of event contracts', events);
  }
  const paths = new Map<string, string>();
  const contracts = Object.entries(events).map(([key, contract]: [string, unknown]) => {
    const path = isList ? `events[${key}]` : `events.${key}`;
    if (!isContract(contract)) throw wrong(path, 'an event contract, made by defineEvent', contract);
    const twin = paths.get(contract.name);
    if (twin !== undefined) {
      throw new EventsConfigurationError(
        path,
        `\`${path}\` and \`${twin}\` are both contracts of event '${contract.name}'`,
      );
    }
    paths.set(contract.name, path);
    return contract;
  });
  return Object.freeze(contracts);
}

function isContract(value: unknown): value is EventContract {
  if (!isObject(value) || !(isStandardSchema(value['schema']) || typeof value['schema'] === 'function')) {
    return false;
  }
  try {
    assertEventName(value['name']);
    return true;
  } catch {
    return false;
  }
}
