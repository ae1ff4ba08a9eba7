import type { Module } from '@nestjs/core/injector/module';
import { EventsConfigurationError } from '../core/errors';
import { IDENTITY } from '../core/handler-definition';
import { memberToken, sanitize } from '../core/names';
import { DecoratedHandler } from './decorated-handler';
import { decoratedMethods, type DecoratedMethod } from './decorated-methods';
import type { HandlerOwner } from './handler-binder';
import { declaredHandlers, handlerName, type DeclaredHandler } from './handler-definitions';
import { ON_EVENT_METADATA, type OnEventMetadata } from './on-event.decorator';

/** Finds the methods that `@OnEvent` marks. Reads only; what was found once is not found again. */
export class EventExplorer {
  /** By their identities. */
  readonly #found = new Map<string, DecoratedHandler>();
  readonly #explored = new Set<Module>();

  /**
   * The handlers in these modules, except in those that were explored before.
   * @throws EventsConfigurationError if two handlers have one identity, saying where both are
   */
  explore(modules: Iterable<Module>): DecoratedHandler[] {
    const unseen = [...modules].filter((module) => !this.#explored.has(module));
    for (const module of unseen) this.#explored.add(module);
    const found: DecoratedHandler[] = [];
    try {
      decoratedMethods<OnEventMetadata[]>(ON_EVENT_METADATA, unseen, (owner, methods) => {
        this.#exploreClass(owner, methods, found);
      });
    } catch (error) {
      this.release(found);
      for (const module of unseen) this.#explored.delete(module);
      throw error;
    }
    return found;
  }

  #exploreClass(
    owner: HandlerOwner,
    methods: readonly DecoratedMethod<OnEventMetadata[]>[],
    found: DecoratedHandler[],
  ): void {
    const className = owner.type.name;
    const prefix = `${className}.`;
    const tokenOf = memberToken(className);
    methods.forEach(({ meta, discoveredMethod: { methodName, handler: method } }) => {
      const defaultName = prefix + methodName;
      const handlers = declaredHandlers(defaultName, meta);
      for (let i = 0; i < handlers.length; i++) {
        const declared = handlers[i] as DeclaredHandler;
        const name = handlerName(defaultName, declared.options);
        const identity = name === defaultName ? tokenOf(methodName) : sanitize(name);
        const handler = new DecoratedHandler(owner, methodName, method, name, identity, declared);
        if (this.#claim(handler)) found.push(handler);
      }
    });
  }

  /** Takes back what could not be bound, so that it is found when its module is explored again. */
  release(handlers: readonly DecoratedHandler[]): void {
    for (const { owner, [IDENTITY]: identity } of handlers) {
      this.#found.delete(identity);
      this.#explored.delete(owner.module);
    }
  }

  /** @returns `false` if it was found before, in a module of which another handler could not be bound */
  #claim(handler: DecoratedHandler): boolean {
    const { name, owner, methodName, [IDENTITY]: identity } = handler;
    const known = this.#found.get(identity);
    if (known === undefined) {
      this.#found.set(identity, handler);
      return true;
    }
    // The owner is another object then; two handlers of one method, found together, have the same.
    const foundEarlier =
      known.owner !== owner && known.owner.wrapper === owner.wrapper && known.methodName === methodName;
    if (foundEarlier) return false;
    throw new EventsConfigurationError(
      'name',
      `two handlers have the identity '${name}': ${known.describe()}, and ${handler.describe()}. Give one of them another ` +
        '`name`; if it is the same class provided in two modules, provide it in one and export it',
    );
  }
}
