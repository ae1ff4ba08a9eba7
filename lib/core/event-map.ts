import type { EventContract, InputOf, OutputOf, Transformed } from './contract';
import type { EventAttributes, NamedEventContext } from './event-context';
import type { JsonData } from './json-data';

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

/** What `emit` takes: the input of the event's schema, or `CannotBeEmitted` where JSON cannot carry it. */
export type EmittedData<N extends string> = IsLoose extends true
  ? Loose
  : Entry<N> extends Transformed<infer Input, unknown>
    ? JsonData<Input>
    : JsonData<Entry<N>>;

/** What `emit` takes beside this name or contract: what the contract says, if there is one. */
export type DataToEmit<N extends string, S> = unknown extends S ? EmittedData<N> : JsonData<InputOf<S>>;

// Distributes over the union of names, so that a wildcard gives the union of the data.
type Output<N extends string> = N extends string
  ? Entry<N> extends Transformed<unknown, infer Result>
    ? Result
    : JsonData<Entry<N>>
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

declare const CANDIDATES: unique symbol;
/** The events that may have been meant, for the same message. */
export interface DidYouMean<N extends string> {
  readonly [CANDIDATES]: N;
}

type FirstToken<P extends string> = P extends `${infer T}.${string}` ? T : P;
type TailTokens<P extends string> = P extends `${string}.${infer T}` ? T : P;
// Those that share the first token or all others; if there are none, all events.
// eslint-disable-next-line @typescript-eslint/no-redundant-type-constituents
type Candidates<P extends string> = [Near<P>] extends [never] ? keyof EventMap & string : Near<P>;
// By way of a property, so that the compiler's message lists them and does not name this type.
type Near<P extends string> = {
  // eslint-disable-next-line @typescript-eslint/no-redundant-type-constituents
  names: keyof EventMap & string extends infer N extends string
    ? N extends FirstToken<P> | `${FirstToken<P>}.${string}` | `${string}.${TailTokens<P>}`
      ? N
      : never
    : never;
}['names'];

/** The names or patterns that can be listened to; of one that matches no declared event, what no string is. */
export type Subscribable<P extends string> = IsLoose extends true
  ? P
  : P extends string
    ? [MatchingNames<P>] extends [never]
      ? NoEventMatches<P> & DidYouMean<Candidates<P>>
      : P
    : never;

/** A name, a pattern or a contract, as `@OnEvent` and `subscribe` take it. */
export type Listenable = string | EventContract;
/** As `Subscribable`; a contract is all right as it is. */
export type Judged<E extends Listenable> = E extends string ? Subscribable<E> : E;

/** What a handler of this name or pattern receives: for a wildcard the union of all it matches. */
export type HandledData<P extends string> = IsLoose extends true ? Loose : Output<MatchingNames<P>>;

/** As `HandledData`, of a name, a pattern or a contract, which says itself what it gives. */
export type DataToHandle<E extends Listenable> = E extends string
  ? HandledData<E>
  : E extends EventContract<string, infer S>
    ? OutputOf<S>
    : never;

/**
 * What a handler receives of this event name or pattern: `EventData<'user.created'>`, `EventData<'order.*'>`. For a pattern the
 * union of all events that it matches. What `emit` takes is `EventToEmit<N>['data']`.
 */
export type EventData<P extends string> = HandledData<P>;

/**
 * What a handler knows of an event besides its data. Of a name or pattern (`EventContext<'order.*'>`) it also has the `data`, and
 * `context.name` tells which of the events it is: where it is compared, `context.data` is of that event.
 */
export type EventContext<P extends string = string> = string extends P
  ? EventAttributes
  : ContextOfNames<IsLoose extends true ? P : MatchingNames<P>>;
type ContextOfNames<N extends string> = N extends string
  ? NamedEventContext<N, IsLoose extends true ? Loose : Output<N>>
  : never;

/** As `EventContext`, of a name, a pattern or a contract. */
export type ContextToHandle<E extends Listenable> = E extends string
  ? EventContext<E>
  : E extends EventContract<infer N, infer S>
    ? NamedEventContext<N, OutputOf<S>>
    : never;

/** A function that handles events. What it returns is ignored, what it throws is a failure. */
export type EventHandler<D = unknown, C = EventAttributes> = (event: D, context: C) => unknown;
