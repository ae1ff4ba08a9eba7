import type { Transformed } from './contract';
import type { EventContext } from './event-context';

/**
 * The events of the system, by name. Empty here; an application augments it:
 *
 * ```ts
 * declare module '@venta/events' {
 *   interface EventMap {
 *     'user.created': { userId: string; email: string; timestamp: Date };
 *   }
 * }
 * ```
 *
 * From then on `emit` and `@OnEvent` check names and data. While it is empty, names are strings and data is loose.
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface EventMap {}

// `never` only as long as nobody augments the map.
// eslint-disable-next-line @typescript-eslint/no-redundant-type-constituents
type Declared = keyof EventMap & string;
type IsLoose = [Declared] extends [never] ? true : false;
// What an undeclared event carries: any parameter type of a handler is as good as another.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Loose = any;

/** The names that can be emitted. Not by way of `Declared`, which a message of the compiler would name instead of them. */
// eslint-disable-next-line @typescript-eslint/no-redundant-type-constituents
export type EventName = IsLoose extends true ? string : keyof EventMap & string;

type Entry<N extends string> = N extends keyof EventMap ? EventMap[N] : never;

/** What `emit` takes: the input of the event's schema. */
export type EmittedData<N extends string> = IsLoose extends true
  ? Loose
  : Entry<N> extends Transformed<infer Input, unknown>
    ? Input
    : Entry<N>;

// Distributes over the union of names, so that a wildcard gives the union of the data.
type Output<N extends string> = N extends string
  ? Entry<N> extends Transformed<unknown, infer Result>
    ? Result
    : Entry<N>
  : never;

type MatchTokens<P extends string, N extends string> = P extends '>'
  ? true
  : P extends `${infer PH}.${infer PT}`
    ? N extends `${infer NH}.${infer NT}`
      ? PH extends '*' | NH
        ? MatchTokens<PT, NT>
        : false
      : false
    : N extends `${string}.${string}`
      ? false
      : P extends '*' | N
        ? true
        : false;

// What a pattern asks of a name at least. Cheap to compare with, unlike the tokens: of hundreds of names few are left.
type Shape<P extends string> = P extends `${infer PH}.${infer PT}`
  ? `${ShapeOfToken<PH>}.${Shape<PT>}`
  : ShapeOfToken<P>;
type ShapeOfToken<T extends string> = T extends '*' | '>' ? string : T;
type Matching<P extends string, N extends string> = N extends string
  ? MatchTokens<P, N> extends true
    ? N
    : never
  : never;

/** The declared names a pattern matches; for several patterns, those that any of them matches. */
export type MatchingNames<P extends string> = P extends Declared
  ? P
  : P extends '>'
    ? Declared
    : string extends P
      ? never
      : // eslint-disable-next-line @typescript-eslint/no-redundant-type-constituents
        Matching<P, Declared & Shape<P>>;

declare const NO_EVENT: unique symbol;
/** What the compiler names in its message where a name or a pattern matches nothing in `EventMap`. */
export interface NoEventMatches<P extends string> {
  readonly [NO_EVENT]: P;
}

/** The names or patterns that can be listened to; of one that matches no declared event, what no string is. */
export type Subscribable<P extends string> = IsLoose extends true
  ? P
  : P extends string
    ? [MatchingNames<P>] extends [never]
      ? NoEventMatches<P>
      : P
    : never;

/** What a handler of this name or pattern receives: for a wildcard the union of all it matches. */
export type HandledData<P extends string> = IsLoose extends true ? Loose : Output<MatchingNames<P>>;

/** A function that handles events. What it returns is ignored, what it throws is a failure. */
export type EventHandler<D = unknown> = (event: D, context: EventContext) => unknown;
