import type { Module } from '@nestjs/core/injector/module';
import { EventsConfigurationError } from '../core/errors';
import { identityOf } from '../core/handler-definition';
import { decoratedMethods } from './decorated-methods';
import { declaredHandlers, type DeclaredHandler } from './handler-definitions';
import type { HandlerPlace } from './handler-binder';
import { ON_EVENT_METADATA, type OnEventMetadata } from './on-event.decorator';

/** A handler that a decorator declares, and where it is. */
export interface FoundHandler extends DeclaredHandler {
  readonly identity: string;
  readonly place: HandlerPlace;
}

/** Finds the methods that `@OnEvent` marks. Reads only; what was found once is not found again. */
export class EventExplorer {
  /** Where each identity is. */
  readonly #found = new Map<string, HandlerPlace>();
  readonly #explored = new Set<Module>();

  /**
   * The handlers in these modules, except in those that were explored before.
   * @throws EventsConfigurationError if two handlers have one identity, saying where both are
   */
  explore(modules: Iterable<Module>): FoundHandler[] {
    const unseen = [...modules].filter((module) => !this.#explored.has(module));
    for (const module of unseen) this.#explored.add(module);
    const found: FoundHandler[] = [];
    try {
      decoratedMethods<OnEventMetadata[]>(ON_EVENT_METADATA, unseen).forEach(({ place, metadata }) => {
        declaredHandlers(nameOf(place), metadata).forEach(({ name, patterns, options }) => {
          const handler = { name, patterns, options, identity: identityOf(name), place };
          if (this.#claim(handler)) found.push(handler);
        });
      });
    } catch (error) {
      this.release(found);
      for (const module of unseen) this.#explored.delete(module);
      throw error;
    }
    return found;
  }

  /** Takes back what could not be bound, so that it is found when its module is explored again. */
  release(handlers: readonly FoundHandler[]): void {
    for (const { identity, place } of handlers) {
      this.#found.delete(identity);
      this.#explored.delete(place.module);
    }
  }

  /** @returns `false` if it was found before, in a module of which another handler could not be bound */
  #claim({ name, identity, place }: FoundHandler): boolean {
    const known = this.#found.get(identity);
    if (known === undefined) {
      this.#found.set(identity, place);
      return true;
    }
    // The place is another object then; two handlers of one method, found together, have the same.
    const foundEarlier =
      known !== place && known.wrapper === place.wrapper && known.methodName === place.methodName;
    if (foundEarlier) return false;
    throw new EventsConfigurationError(
      'name',
      `two handlers have the identity '${name}': ${describe(known)}, and ${describe(place)}. Give one of them another ` +
        '`name`; if it is the same class provided in two modules, provide it in one and export it',
    );
  }
}

const nameOf = ({ type, methodName }: HandlerPlace): string => `${type.name}.${methodName}`;

const describe = (place: HandlerPlace): string => `${nameOf(place)} of module ${place.module.metatype.name}`;
