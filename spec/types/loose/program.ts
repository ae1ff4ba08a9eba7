// Nobody has augmented `EventMap`: names are strings, data is loose.
import {
  EventService,
  OnEvent,
  type EmitReceipt,
  type EventContext,
  type EventMap,
  type EventSubscription,
} from '@venta/events';
import type { TestEvents } from '@venta/events/testing';

interface UserCreated {
  readonly email: string;
}

class Handlers {
  @OnEvent('user.created')
  typed(event: UserCreated): void {
    void event.email;
  }

  @OnEvent('user.created')
  withContext(event: UserCreated, context: EventContext): Promise<string> {
    return Promise.resolve(event.email + context.id);
  }

  @OnEvent('user.created')
  withoutParameters(): void {}

  @OnEvent('user.created')
  async unknownData(_event: unknown): Promise<void> {}

  @OnEvent(['user.created', 'user.*'], { name: 'several', delivery: 'ephemeral', startFrom: new Date(0) })
  several(event: string | number): unknown {
    return event;
  }

  @OnEvent('vendor.>', {
    retry: { attempts: 1, backoff: 'fixed' },
    timeout: 5,
    concurrency: 1,
    broadcast: true,
  })
  @OnEvent('>')
  stacked(): void {}

  // @ts-expect-error a third parameter is never given
  @OnEvent('user.created')
  threeParameters(_event: UserCreated, _context: EventContext, _more: string): void {}

  // @ts-expect-error the context comes second
  @OnEvent('user.created')
  wrongContext(_event: UserCreated, _context: string): void {}

  // @ts-expect-error a property is no method
  @OnEvent('user.created')
  property = 1;

  // @ts-expect-error an unknown option
  @OnEvent('user.created', { concurency: 1 })
  mistypedOption(): void {}

  // @ts-expect-error 'last' is no start
  @OnEvent('user.created', { startFrom: 'last' })
  wrongOption(): void {}
}

export async function emitting(events: EventService, name: string): Promise<void> {
  const receipt: EmitReceipt = await events.emit('user.created', { anything: [1, new Date()] });
  await events.emit(name, null, { id: '1', headers: { a: 'b' }, time: new Date() });
  const many: EmitReceipt[] = await events.emitMany([
    { name: 'user.created', data: 1 },
    { name, data: { any: 'thing' }, options: { correlationId: 'c' } },
  ]);
  void [receipt.id, many.length];

  // @ts-expect-error a name is a string
  await events.emit(1, {});
  // @ts-expect-error an unknown option
  await events.emit('user.created', {}, { ids: '1' });
  // @ts-expect-error headers are strings
  await events.emit('user.created', {}, { headers: { a: 1 } });
  // @ts-expect-error the data is missing
  await events.emitMany([{ name: 'user.created' }]);
}

export async function subscribing(events: EventService, handlers: Handlers, pattern: string): Promise<void> {
  const subscription: EventSubscription = await events.subscribe(
    'user.created',
    (event: UserCreated) => event.email,
  );
  await events.subscribe('user.*', (event, context) => (event === null ? context.headers : undefined));
  await events.subscribe(pattern, () => undefined, { name: 'own' });
  await events.subscribe('user.created', handlers.typed.bind(handlers));
  await subscription.unsubscribe();

  // @ts-expect-error the context comes second
  await events.subscribe('user.created', (_event: UserCreated, _context: string) => undefined);
}

// Nothing is declared.
export const declared: [keyof EventMap] extends [never] ? true : false = true;

export function records(events: TestEvents): string[] {
  const emails: string[] = events.emitted('user.created').map(({ data }) => (data as UserCreated).email);
  const names: string[] = events.handled('user.*').map(({ name }) => name);
  return [...emails, ...names, ...events.failed().map(({ subscription }) => subscription)];
}
