// Data that JSON cannot carry is refused where it is emitted or handled.
import { EventService, OnEvent } from '@venta/events';

interface Tree {
  name: string;
  children: Tree[];
}
class Money {
  constructor(
    readonly cents: number,
    readonly owner?: Money,
  ) {}
  format(): string {
    return String(this.cents);
  }
}
class Decimal {
  readonly digits = 1n;
  toJSON(): string {
    return String(this.digits);
  }
}

declare module '@venta/events' {
  interface EventMap {
    'good.date': { at: Date; until?: Date | null };
    'good.to.json': { amount: Decimal; link: { toJSON(): string } };
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    'good.loose': { any: any; unknown: unknown; record: Record<string, unknown> };
    'good.tree': Tree;
    'good.class': Money;
    'good.failure': { name: string; message: string; stack?: string };
    'good.tuple': readonly [1, 'a', { b: true }];
    'good.null': null;
    'bad.bigint': { order: { total?: bigint } };
    'bad.map': { ids: Map<string, number> };
    'bad.readonly.set': { ids: ReadonlySet<string> };
    'bad.weak': { seen: WeakMap<object, string> };
    'bad.buffer': { files: { content: Buffer }[] };
    'bad.bytes': Uint8Array;
    'bad.array.buffer': { content: ArrayBuffer };
    'bad.function': () => void;
    'bad.symbol': { kind: symbol };
    'bad.regexp': { filter: RegExp | string };
    'bad.error': { cause: Error };
    'bad.type.error': { cause: TypeError | null };
    'bad.promise': { user: Promise<{ id: string }> };
    'bad.tuple': [string, Set<string>];
    'bad.record': Record<string, bigint>;
  }
}

export async function good(events: EventService, tree: Tree): Promise<void> {
  await events.emit('good.date', { at: new Date() });
  await events.emit('good.to.json', { amount: new Decimal(), link: new URL('https://example.com') });
  await events.emit('good.loose', { any: 1n, unknown: new Map(), record: { a: 1 } });
  await events.emit('good.tree', tree);
  await events.emit('good.class', new Money(1));
  await events.emit('good.failure', { name: 'a', message: 'b' });
  await events.emit('good.tuple', [1, 'a', { b: true }]);
  await events.emit('good.null', null);
  await events.subscribe('good.*', (event) => event);
}

export async function bad(events: EventService): Promise<void> {
  // @ts-expect-error a bigint
  await events.emit('bad.bigint', { order: { total: 1n } });
  // @ts-expect-error a Map
  await events.emit('bad.map', { ids: new Map<string, number>() });
  // @ts-expect-error a Set
  await events.emit('bad.readonly.set', { ids: new Set<string>() });
  // @ts-expect-error a WeakMap
  await events.emit('bad.weak', { seen: new WeakMap<object, string>() });
  // @ts-expect-error a Buffer
  await events.emit('bad.buffer', { files: [{ content: Buffer.from('') }] });
  // @ts-expect-error a typed array
  await events.emit('bad.bytes', new Uint8Array());
  // @ts-expect-error an ArrayBuffer
  await events.emit('bad.array.buffer', { content: new ArrayBuffer(1) });
  // @ts-expect-error a function
  await events.emit('bad.function', () => undefined);
  // @ts-expect-error a symbol
  await events.emit('bad.symbol', { kind: Symbol('a') });
  // @ts-expect-error a RegExp
  await events.emit('bad.regexp', { filter: /a/ });
  // @ts-expect-error an Error
  await events.emit('bad.error', { cause: new Error('a') });
  // @ts-expect-error an Error
  await events.emit('bad.type.error', { cause: new TypeError('a') });
  // @ts-expect-error a Promise
  await events.emit('bad.promise', { user: Promise.resolve({ id: '1' }) });
  // @ts-expect-error a Set
  await events.emit('bad.tuple', ['a', new Set<string>()]);
  // @ts-expect-error a bigint
  await events.emit('bad.record', { a: 1n });
  // @ts-expect-error a Map
  await events.emitMany([{ name: 'bad.map', data: { ids: new Map<string, number>() } }]);
}

export class Handlers {
  @OnEvent('good.*')
  wildcard(_event: unknown): void {}

  @OnEvent('good.class')
  exact(event: Money): void {
    void event.cents;
  }

  @OnEvent('bad.*')
  unknownData(_event: unknown): void {}

  // @ts-expect-error a Map never arrives
  @OnEvent('bad.map')
  map(_event: { ids: Map<string, number> }): void {}

  // @ts-expect-error a bigint never arrives
  @OnEvent('bad.bigint')
  bigint(_event: { order: { total?: bigint } }): void {}
}
