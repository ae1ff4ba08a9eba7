import type { Module } from '@nestjs/core/injector/module';
import {
  PATTERN_HANDLER_METADATA,
  PATTERN_METADATA,
  TRANSPORT_METADATA,
} from '@nestjs/microservices/constants';
import { PatternHandler } from '@nestjs/microservices/enums/pattern-handler.enum';
import { EventsConfigurationError } from '../../core/errors';
import { doubtOf } from '../class-names';
import { decoratedMethods } from '../decorated-methods';
import type { HandlerPlace } from '../handler-binder';
import type { EventsStrategy } from './events-strategy';

/** An `@EventPattern` method, and the events it is for. */
export interface PatternMethod {
  readonly place: HandlerPlace;
  readonly name: string;
  readonly patterns: readonly string[];
}

/**
 * The `@EventPattern` methods that Nest would give this strategy: those of controllers, for its transport or for any.
 * @throws EventsConfigurationError if a pattern cannot be the name of an event, or two methods are called the same
 */
export function patternMethods(
  { transportId, options: { prefix = '' } }: EventsStrategy,
  modules: Iterable<Module>,
): PatternMethod[] {
  const found: PatternMethod[] = [];
  decoratedMethods<PatternHandler>(PATTERN_HANDLER_METADATA, [...modules], (owner, methods) => {
    if (!owner.module.controllers.has(owner.wrapper.token)) return;
    const doubt = doubtOf(owner.type);
    for (const { meta: kind, discoveredMethod } of methods) {
      const { methodName, handler: method } = discoveredMethod;
      const transport = Reflect.getMetadata(TRANSPORT_METADATA, method) as typeof transportId;
      const forOther = transport !== undefined && transportId !== undefined && transport !== transportId;
      if (kind !== PatternHandler.EVENT || forOther) continue;
      const name = `${owner.type.name}.${methodName}`;
      if (doubt?.certain) {
        throw new EventsConfigurationError(
          'pattern',
          `the handler ${methodName} of a controller of module ${owner.module.metatype.name} has a durable named after its class, which ` +
            `${doubt.reason}: let the bundler keep class names (\`keepNames\`), or use @OnEvent with a \`name\``,
        );
      }
      const patterns = (Reflect.getMetadata(PATTERN_METADATA, method) as unknown[]).map((pattern) => {
        if (typeof pattern === 'string')
          return pattern.startsWith(prefix) ? pattern.slice(prefix.length) : pattern;
        throw new EventsConfigurationError(
          'pattern',
          `${name} listens to ${JSON.stringify(pattern)}: the name of an event is text, such as 'user.created'`,
        );
      });
      found.push({ place: { owner, methodName, method }, name, patterns });
    }
  });
  assertDistinct(found);
  return found;
}

/** Controllers of different modules may have one name in Nest. Here it is what the broker knows a handler by. */
function assertDistinct(methods: readonly PatternMethod[]): void {
  const byName = new Map<string, PatternMethod>();
  for (const method of methods) {
    const other = byName.get(method.name);
    if (other !== undefined) {
      const patterns = [other, method].map((each) => each.patterns.map((name) => `'${name}'`).join(', '));
      throw new EventsConfigurationError(
        'pattern',
        `two @EventPattern methods are called '${method.name}', one for ${patterns.join(', one for ')}, and the broker ` +
          'knows a handler by that name: rename one of the classes, or use @OnEvent with a `name`',
      );
    }
    byName.set(method.name, method);
  }
}
