import type { ArgumentsHost, ExceptionFilter, Type } from '@nestjs/common';
import { FILTER_CATCH_EXCEPTIONS } from '@nestjs/common/constants';
import { resultOf } from './interceptors';

/** A filter and the classes its `@Catch` names; none means all. */
interface Catcher {
  readonly filter: ExceptionFilter;
  readonly types: readonly Type[];
}

/**
 * What the filters make of a failure: the innermost that fits decides, as in Nest. It resolves if the filter turned it
 * into success, by an Observable that completes or a value; else it rejects, with an error of the filter's or the same.
 *
 * A filter that gives back nothing has told somebody, not solved anything: the failure stands, since an event must not
 * be lost to a filter that logs. So it does when a filter answers with what is not an Error, as `BaseRpcExceptionFilter`
 * does for a caller: there is none.
 */
export function exceptionFilters(
  filters: readonly ExceptionFilter[],
): (error: unknown, host: ArgumentsHost) => Promise<unknown> {
  const catchers = filters.map((filter): Catcher => ({ filter, types: caughtBy(filter) })).reverse();
  return async (error, host) => {
    const fitting = catchers.find(
      ({ types }) => types.length === 0 || types.some((type) => error instanceof type),
    );
    if (fitting === undefined) throw error;
    try {
      const answer: unknown = await fitting.filter.catch(error, host);
      if (answer === undefined || answer === null) throw error;
      return await resultOf(answer);
    } catch (other) {
      throw other instanceof Error ? other : error;
    }
  };
}

const caughtBy = (filter: ExceptionFilter): readonly Type[] =>
  ((Reflect.getMetadata(FILTER_CATCH_EXCEPTIONS, filter.constructor) ??
    Reflect.getMetadata(FILTER_CATCH_EXCEPTIONS, Object.getPrototypeOf(filter) as object)) as
    Type[] | undefined) ?? [];
