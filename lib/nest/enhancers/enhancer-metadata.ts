import type { CanActivate, ExceptionFilter, NestInterceptor, PipeTransform, Type } from '@nestjs/common';
import {
  EXCEPTION_FILTERS_METADATA,
  GUARDS_METADATA,
  INTERCEPTORS_METADATA,
  PIPES_METADATA,
} from '@nestjs/common/constants';

/** A class that Nest makes an instance of, or an instance, as `@UseGuards` and its like take them. */
export type Enhancer<T> = T | Type<T>;

/** What is bound to one handler, outermost first; of the filters the last that fits is the one. */
export interface EnhancerSet<G = CanActivate, I = NestInterceptor, P = PipeTransform, F = ExceptionFilter> {
  readonly guards: readonly G[];
  readonly interceptors: readonly I[];
  readonly pipes: readonly P[];
  readonly filters: readonly F[];
}

export type DeclaredEnhancers = EnhancerSet<
  Enhancer<CanActivate>,
  Enhancer<NestInterceptor>,
  Enhancer<PipeTransform>,
  Enhancer<ExceptionFilter>
>;

const NOTHING: readonly never[] = Object.freeze([]);
const NO_ENHANCERS: DeclaredEnhancers = Object.freeze({
  guards: NOTHING,
  interceptors: NOTHING,
  pipes: NOTHING,
  filters: NOTHING,
});

/** What methods inherit from, and classes that extend nothing by `extends`. */
const PLAIN: ReadonlySet<unknown> = new Set([Function.prototype, Object.getPrototypeOf(async () => {})]);

/**
 * How to look for metadata of a class or a method: also at what it inherits from, as `Reflect.getMetadata` does, unless there is
 * nothing. That finds base classes by their prototypes as well (`util.inherits`).
 */
export function metadataReaderOf(target: object): (key: string, target: object, property: string) => unknown {
  const inherits =
    !PLAIN.has(Object.getPrototypeOf(target)) || hasBase((target as { prototype?: object }).prototype);
  return inherits ? Reflect.getMetadata : Reflect.getOwnMetadata;
}

function hasBase(prototype: object | undefined): boolean {
  if (prototype === undefined) return false; // of a method
  const base = Object.getPrototypeOf(prototype) as object | null;
  return base !== Object.prototype && base !== null;
}

/** What `@UseGuards`, `@UseInterceptors`, `@UsePipes` and `@UseFilters` say on a class or on a method. */
export function enhancersOn(target: object): DeclaredEnhancers {
  const look = metadataReaderOf(target) as (key: string, target: object) => unknown;
  const guards = look(GUARDS_METADATA, target) as DeclaredEnhancers['guards'] | undefined;
  const interceptors = look(INTERCEPTORS_METADATA, target) as DeclaredEnhancers['interceptors'] | undefined;
  const pipes = look(PIPES_METADATA, target) as DeclaredEnhancers['pipes'] | undefined;
  const filters = look(EXCEPTION_FILTERS_METADATA, target) as DeclaredEnhancers['filters'] | undefined;
  // On most there are none.
  if ((guards ?? interceptors ?? pipes ?? filters) === undefined) return NO_ENHANCERS;
  return {
    guards: guards ?? NOTHING,
    interceptors: interceptors ?? NOTHING,
    pipes: pipes ?? NOTHING,
    filters: filters ?? NOTHING,
  };
}

/** Those of the class, then those of the method. */
export const joinedEnhancers = (
  ofClass: DeclaredEnhancers,
  ofMethod: DeclaredEnhancers,
): DeclaredEnhancers =>
  ofClass === NO_ENHANCERS
    ? ofMethod
    : {
        guards: [...ofClass.guards, ...ofMethod.guards],
        interceptors: [...ofClass.interceptors, ...ofMethod.interceptors],
        pipes: [...ofClass.pipes, ...ofMethod.pipes],
        filters: [...ofClass.filters, ...ofMethod.filters],
      };

export const hasEnhancers = (set: EnhancerSet<unknown, unknown, unknown, unknown>): boolean =>
  set.guards.length + set.interceptors.length + set.pipes.length + set.filters.length > 0;
