import type { Type } from '@nestjs/common';
import type { Module } from '@nestjs/core/injector/module';
import { EventsConfigurationError } from '../core/errors';
import { IDENTITY } from '../core/handler-definition';
import { memberToken, sanitize } from '../core/names';
import { isObject } from '../core/settings';
import { doubtOf, numberedDoubts, type NameDoubt } from './class-names';
import { DecoratedHandler } from './decorated-handler';
import { decoratedMethods, type DecoratedMethod } from './decorated-methods';
import type { HandlerOwner } from './handler-binder';
import { declaredHandlers, handlerName, type DeclaredHandler } from './handler-definitions';
import { ON_EVENT_METADATA, type OnEventMetadata } from './on-event.decorator';
import { replacedMethods } from './replaced-methods';

/** Finds the methods that `@OnEvent` marks. Reads only; what was found once is not found again. */
export class EventExplorer {
  /** By their identities. */
  readonly #found = new Map<string, DecoratedHandler>();
  readonly #explored = new Set<Module>();
  /** Classes that handlers are named after, by their names. */
  readonly #named = new Map<string, DecoratedHandler>();

  /** @param warn told of handlers whose identity the next build may change */
  constructor(private readonly warn: (message: string) => void) {}

  /**
   * The handlers in these modules, except in those that were explored before.
   * @throws EventsConfigurationError if two handlers have one identity, saying where both are; if a handler needs a `name`
   * because that of its class does not last; if a declared handler is no method any more
   */
  explore(modules: Iterable<Module>): DecoratedHandler[] {
    const unseen = [...modules].filter((module) => !this.#explored.has(module));
    for (const module of unseen) this.#explored.add(module);
    const found: DecoratedHandler[] = [];
    try {
      decoratedMethods<OnEventMetadata[]>(
        ON_EVENT_METADATA,
        unseen,
        (owner, methods) => this.#exploreClass(owner, methods, found),
        (prototype) => replacedMethods(prototype, ON_EVENT_METADATA),
      );
      this.#judgeNumbered(found);
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
    const doubt = doubtOf(owner.type);
    // What is no text must not become part of a name; such a class needs names for all its handlers.
    const prefix = `${typeof className === 'string' && className !== '' ? className : 'anonymous class'}.`;
    const tokenOf = memberToken(prefix.slice(0, -1));
    methods.forEach(({ meta, discoveredMethod: { methodName, handler: method } }) => {
      const defaultName = prefix + methodName;
      const handlers = declaredHandlers(defaultName, meta);
      for (let i = 0; i < handlers.length; i++) {
        const declared = handlers[i] as DeclaredHandler;
        const name = handlerName(defaultName, declared.options);
        const identity = name === defaultName ? tokenOf(methodName) : sanitize(name);
        const handler = new DecoratedHandler(owner, methodName, method, name, identity, declared);
        if (isNamedAfterClass(declared)) {
          if (doubt !== undefined) this.#doubt(handler, doubt);
          if (!this.#named.has(className)) this.#named.set(className, handler);
        }
        if (this.#claim(handler)) found.push(handler);
      }
    });
  }

  /** @throws EventsConfigurationError if it is certain */
  #doubt(handler: DecoratedHandler, { certain, reason }: NameDoubt): void {
    const { methodName, patterns } = handler;
    const message =
      `${handler.describe()} needs a \`name\`: its durable is named after its class, which ${reason}. Another build or start ` +
      `gives another name, and the events that wait under the old one are lost. Use @OnEvent('${patterns[0] ?? ''}', ` +
      `{ name: 'orders.${methodName}' }), or let the bundler keep class names (\`keepNames\`)`;
    if (certain) throw new EventsConfigurationError('name', message);
    this.warn(message);
  }

  #judgeNumbered(found: readonly DecoratedHandler[]): void {
    if (found.length === 0) return;
    const types = new Map<string, Type>();
    for (const [name, { owner }] of this.#named) types.set(name, owner.type);
    for (const [name, doubt] of numberedDoubts(types)) {
      const handler = this.#named.get(name) as DecoratedHandler;
      if (doubt.certain || found.includes(handler)) this.#doubt(handler, doubt);
    }
  }

  /** Takes back what could not be bound, so that it is found when its module is explored again. */
  release(handlers: readonly DecoratedHandler[]): void {
    for (const handler of handlers) {
      const { owner, [IDENTITY]: identity } = handler;
      this.#found.delete(identity);
      if (this.#named.get(owner.type.name) === handler) this.#named.delete(owner.type.name);
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

const isNamedAfterClass = ({ options }: DeclaredHandler): boolean =>
  !isObject(options) || options.name === undefined;
