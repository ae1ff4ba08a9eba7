import { Injectable } from '@nestjs/common';
import { MetadataScanner } from '@nestjs/core';
import type { Module } from '@nestjs/core/injector/module';
import { EventsConfigurationError } from '../core/errors';
import { identityOf } from '../core/handler-definition';
import { decoratedMethods } from './decorated-methods';
import { declaredHandlers, type DeclaredHandler } from './handler-definitions';
import type { HandlerPlace } from './handler-binder';
import { ON_EVENT_METADATA, type OnEventMetadata } from './on-event.decorator';

/** A handler that a decorator declares, and where it is. */
export interface FoundHandler extends DeclaredHandler {
  readonly place: HandlerPlace;
}

/** Finds the methods that `@OnEvent` marks. Reads only; what was found once is not found again. */
@Injectable()
export class EventExplorer {
  /** Where each identity is. */
  readonly #found = new Map<string, HandlerPlace>();
  readonly #explored = new Set<Module>();

  constructor(private readonly scanner: MetadataScanner) {}

  /**
   * The handlers in these modules, except in those that were explored before.
   * @throws EventsConfigurationError if two handlers have one identity, saying where both are
   */
  async explore(modules: Iterable<Module>): Promise<FoundHandler[]> {
    const unseen = [...modules].filter((module) => !this.#explored.has(module));
    for (const module of unseen) this.#explored.add(module);
    const methods = await decoratedMethods<OnEventMetadata[]>(ON_EVENT_METADATA, unseen, this.scanner);
    return methods.flatMap(({ place, metadata }) => {
      return declaredHandlers(nameOf(place), metadata).map((declared): FoundHandler => {
        this.#claim(declared.name, place);
        return { ...declared, place };
      });
    });
  }

  #claim(name: string, place: HandlerPlace): void {
    const identity = identityOf(name);
    const other = this.#found.get(identity);
    if (other !== undefined) {
      throw new EventsConfigurationError(
        'name',
        `two handlers have the identity '${name}': ${describe(other)}, and ${describe(place)}. Give one of them another ` +
          '`name`; if it is the same class provided in two modules, provide it in one and export it',
      );
    }
    this.#found.set(identity, place);
  }
}

const nameOf = ({ type, methodName }: HandlerPlace): string => `${type.name}.${methodName}`;

const describe = (place: HandlerPlace): string => `${nameOf(place)} of module ${place.module.metatype.name}`;
