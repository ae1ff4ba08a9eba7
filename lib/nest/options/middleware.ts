import type { Type } from '@nestjs/common';
import type { EventMiddleware } from '../../core/middleware';
import { isObject, wrong } from '../../core/settings';

/** @throws EventsConfigurationError naming the entry that is neither a class nor a middleware */
export function resolveMiddleware(middleware: unknown): readonly (Type<EventMiddleware> | EventMiddleware)[] {
  if (middleware === undefined) return Object.freeze([]);
  if (!Array.isArray(middleware)) throw wrong('middleware', 'a list of classes or instances', middleware);
  return Object.freeze(
    Array.from(middleware, (entry: unknown, i) => {
      if (isClass(entry) || isMiddleware(entry)) return entry;
      throw wrong(
        `middleware[${i}]`,
        'a provider class, or an object with a function `publish` or `consume`',
        entry,
      );
    }),
  );
}

// Arrow functions and methods have no prototype: they are functions somebody took for a middleware.
const isClass = (value: unknown): value is Type<EventMiddleware> =>
  typeof value === 'function' && typeof value.prototype === 'object';

function isMiddleware(value: unknown): value is EventMiddleware {
  if (!isObject(value)) return false;
  const methods = [value['publish'], value['consume']].filter((method) => method !== undefined);
  return methods.length > 0 && methods.every((method) => typeof method === 'function');
}
