import type { ArgumentMetadata, ExecutionContext, PipeTransform, Type } from '@nestjs/common';
import {
  CUSTOM_ROUTE_ARGS_METADATA,
  PARAMTYPES_METADATA,
  ROUTE_ARGS_METADATA,
} from '@nestjs/common/constants';
import { RpcParamtype } from '@nestjs/microservices/enums/rpc-paramtype.enum';
import type { EventContext } from '../../core/event-map';
import { metadataReaderOf, type Enhancer } from './enhancer-metadata';

/** One parameter of a handler: where its value comes from, and the pipes on the parameter itself. */
export interface Parameter<P = PipeTransform> {
  readonly index: number;
  readonly value: (data: unknown, context: EventContext, host: ExecutionContext) => unknown;
  readonly metadata: ArgumentMetadata;
  readonly pipes: readonly P[];
  /** Whether the pipes of the method, its class and the application apply: not to a context that nobody asked for. */
  readonly piped: boolean;
}

export type DeclaredParameter = Parameter<Enhancer<PipeTransform>>;

interface RouteArgument {
  readonly index: number;
  readonly data?: unknown;
  readonly pipes?: readonly Enhancer<PipeTransform>[];
  readonly factory?: (data: unknown, host: ExecutionContext) => unknown;
}

/**
 * How the arguments of a method are made: from its parameter decorators (`@Payload`, `@Ctx`, those of
 * `createParamDecorator`); where there is none, the first is the data and the second the context.
 */
export function declaredParameters(type: Type, methodName: string): DeclaredParameter[] {
  const declared = (Reflect.getMetadata(ROUTE_ARGS_METADATA, type, methodName) ?? {}) as Record<
    string,
    RouteArgument
  >;
  const types = (Reflect.getMetadata(PARAMTYPES_METADATA, type.prototype as object, methodName) ??
    []) as Type[];
  const parameters = Object.entries(declared).map(([key, { index, data, pipes = [], factory }]) =>
    parameter(index, pipes, key, data, types[index], factory),
  );
  const taken = new Set(parameters.map(({ index }) => index));
  if (!taken.has(0)) parameters.push(parameter(0, [], String(RpcParamtype.PAYLOAD), undefined, types[0]));
  if (!taken.has(1)) {
    parameters.push({ ...parameter(1, [], String(RpcParamtype.CONTEXT), undefined, types[1]), piped: false });
  }
  return parameters;
}

/** Whether a method has decorators on its parameters. */
export const hasParameterDecorators = (type: Type, methodName: string): boolean =>
  metadataReaderOf(type)(ROUTE_ARGS_METADATA, type, methodName) !== undefined;

function parameter(
  index: number,
  pipes: NonNullable<RouteArgument['pipes']>,
  key: string,
  data: unknown,
  metatype: Type | undefined,
  factory?: RouteArgument['factory'],
): DeclaredParameter {
  const named = typeof data === 'string' ? data : undefined;
  const of = (type: ArgumentMetadata['type'], value: DeclaredParameter['value']): DeclaredParameter => ({
    index,
    value,
    pipes,
    piped: true,
    metadata: { type, metatype, data: named },
  });
  if (key.includes(CUSTOM_ROUTE_ARGS_METADATA)) {
    return of('custom', (_data, _context, host) => factory?.(data, host));
  }
  // The keys of Nest's decorators begin with the number of their kind.
  switch (parseInt(key, 10) as RpcParamtype) {
    case RpcParamtype.PAYLOAD:
      return named === undefined
        ? of('body', (payload) => payload)
        : of('body', (payload) => (payload as Record<string, unknown> | null | undefined)?.[named]);
    case RpcParamtype.CONTEXT:
      // `custom`, as Nest says it, so that a ValidationPipe does not take the context for data.
      return of('custom', (_payload, context) => context);
    default:
      return of('custom', () => undefined); // `@Req()` and the like have nothing to give here
  }
}
