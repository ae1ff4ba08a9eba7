import { EventsConfigurationError } from './errors';
import { assertEventName } from './event-name';

/**
 * A schema of any library that implements Standard Schema (zod, valibot, arktype, …).
 * The part of https://standardschema.dev that is used here.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | {
      readonly issues: readonly {
        readonly message: string;
        readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
      }[];
    };

/** A class decorated with class-validator; needs the optional peers `class-validator` and `class-transformer`. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type ValidatedClass<T = unknown> = new (...args: any[]) => T;

export type EventSchema<Input = unknown, Output = Input> =
  StandardSchema<Input, Output> | ValidatedClass<Output>;

export interface EventContractOptions<S> {
  /** What the data must look like; checked when emitting and when handling. */
  schema: S;
  description?: string;
  /** Version of the data's shape, for people and catalogues. */
  version?: string;
  /** The part of the business the event belongs to, for people and catalogues. */
  context?: string;
}

/** The name of an event together with the shape of its data. Made by `defineEvent`. */
export interface EventContract<N extends string = string, S = unknown> extends Readonly<
  EventContractOptions<S>
> {
  readonly name: N;
}

/**
 * Declares an event.
 *
 * ```ts
 * export const UserCreated = defineEvent('user.created', {
 *   schema: z.object({ userId: z.string(), email: z.email(), timestamp: z.date() }),
 * });
 * ```
 * @throws EventsError `invalid_event_name`; EventsConfigurationError if `schema` is neither kind of schema
 */
export function defineEvent<const N extends string, S extends EventSchema>(
  name: N,
  options: EventContractOptions<S>,
): EventContract<N, S> {
  assertEventName(name);
  if (!isStandardSchema(options.schema) && !isClass(options.schema)) {
    throw new EventsConfigurationError(
      'schema',
      `the schema of event '${name}' must implement Standard Schema (zod, valibot, arktype, …) or be a class-validator class`,
    );
  }
  return Object.freeze({ ...options, name });
}

export const isStandardSchema = (schema: unknown): schema is StandardSchema =>
  (typeof schema === 'object' || typeof schema === 'function') && schema !== null && '~standard' in schema;

/** Whether it looks like what `defineEvent` makes, by this copy of the package or another; its name is not checked. */
export const isContract = (value: unknown): value is EventContract =>
  typeof value === 'object' &&
  value !== null &&
  'name' in value &&
  'schema' in value &&
  (isStandardSchema(value.schema) || isClass(value.schema));

/** The name that stands alone or in a contract; anything else is for `assertEventName` or `assertPattern` to refuse. */
export const nameIn = (event: unknown): string => (isContract(event) ? event.name : (event as string));

const isClass = (schema: unknown): boolean => typeof schema === 'function';

declare const TRANSFORMED: unique symbol;
/** Marks an entry of `EventMap` whose emitted and handled data differ, because its schema transforms. */
export interface Transformed<Input, Output> {
  readonly [TRANSFORMED]: { readonly input: Input; readonly output: Output };
}

type Contracts = readonly EventContract[] | Readonly<Record<string, EventContract>>;
type Each<C> = C extends readonly (infer E)[] ? E : C[keyof C];
type DataOf<S> =
  S extends StandardSchema<infer I, infer O>
    ? [I, O] extends [O, I]
      ? O
      : Transformed<I, O>
    : S extends ValidatedClass<infer T>
      ? T
      : never;

/** What a schema takes. */
export type InputOf<S> =
  S extends StandardSchema<infer I, unknown> ? I : S extends ValidatedClass<infer T> ? T : never;
/** What a schema makes of it. */
export type OutputOf<S> =
  S extends StandardSchema<unknown, infer O> ? O : S extends ValidatedClass<infer T> ? T : never;

/**
 * The events of a list or record of contracts, to feed `EventMap`:
 * `declare module '@venta/events' { interface EventMap extends EventsOf<typeof contracts> {} }`
 */
export type EventsOf<C extends Contracts> = {
  [E in Each<C> as E extends EventContract<infer N> ? N : never]: E extends EventContract<string, infer S>
    ? DataOf<S>
    : never;
};
