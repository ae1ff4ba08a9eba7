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

const NONE: readonly never[] = Object.freeze([]);

/** What `@UseGuards`, `@UseInterceptors`, `@UsePipes` and `@UseFilters` say on the class, then on the method. */
export function declaredEnhancers(type: Type, method: object): DeclaredEnhancers {
  const of = <T>(key: string): readonly Enhancer<T>[] => {
    const ofClass = Reflect.getMetadata(key, type) as Enhancer<T>[] | undefined;
    const ofMethod = Reflect.getMetadata(key, method) as Enhancer<T>[] | undefined;
    // Most handlers have none.
    if (ofClass === undefined && ofMethod === undefined) return NONE;
    return [...(ofClass ?? NONE), ...(ofMethod ?? NONE)];
  };
  return {
    guards: of(GUARDS_METADATA),
    interceptors: of(INTERCEPTORS_METADATA),
    pipes: of(PIPES_METADATA),
    filters: of(EXCEPTION_FILTERS_METADATA),
  };
}

export const hasEnhancers = (set: EnhancerSet<unknown, unknown, unknown, unknown>): boolean =>
  set.guards.length + set.interceptors.length + set.pipes.length + set.filters.length > 0;
