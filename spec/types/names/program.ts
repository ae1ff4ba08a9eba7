// What users name in their own code: what handlers receive, contracts instead of names, options and statuses.
import {
  defineEvent,
  OnEvent,
  type CircuitBreakerOptions,
  type DeadLetterCount,
  type DeadLetterPage,
  type DeadLetterReason,
  type DeliveryMode,
  type EmitManyOptions,
  type EventContext,
  type EventData,
  type EventService,
  type EventsOf,
  type EventsLogger,
  type EventsStrategyOptions,
  type EventToEmit,
  type PendingEmitsOptions,
  type StartFrom,
  type SubscriptionStatus,
  type TlsOptions,
} from '@venta/events';
import { z } from 'zod';

export const UserImported = defineEvent('user.imported', {
  schema: z.object({ age: z.string().transform(Number) }),
});
export const OrderPaid = defineEvent('order.paid', { schema: z.object({ amount: z.number() }) });

declare module '@venta/events' {
  interface EventMap {
    'user.imported': EventsByContract['user.imported'];
    'order.paid': { amount: number };
    'order.sent': { at: Date };
  }
}
type EventsByContract = EventsOf<[typeof UserImported]>;

export const paid: EventData<'order.paid'> = { amount: 1 };
export const either: EventData<'order.*'>[] = [{ amount: 1 }, { at: new Date() }];
export const handled: EventData<'user.imported'> = { age: 36 };
export const emitted: EventToEmit<'user.imported'>['data'] = { age: '36' };
// @ts-expect-error data of no order
export const neither: EventData<'order.*'> = { age: 1 };

export class Handlers {
  @OnEvent('order.*')
  wildcard(event: EventData<'order.*'>, context: EventContext<'order.*'>): void {
    if (context.name === 'order.paid') void context.data.amount.toFixed();
    else void context.data.at.getTime();
    void [event, context.id, context.signal.aborted];
    // @ts-expect-error not every order has an amount
    void context.data.amount;
  }

  @OnEvent('order.*')
  switched(_event: unknown, context: EventContext<'order.*'>): number {
    switch (context.name) {
      case 'order.paid':
        return context.data.amount;
      case 'order.sent':
        return context.data.at.getTime();
    }
  }

  @OnEvent('order.paid')
  ofOne(_event: EventData<'order.paid'>, { name, data }: EventContext<'order.paid'>): 'order.paid' {
    void data.amount;
    return name;
  }

  @OnEvent(['order.paid', 'user.*'])
  several(_event: unknown, context: EventContext<'order.paid' | 'user.*'>): void {
    if (context.name === 'user.imported') void context.data.age.toFixed();
    // @ts-expect-error no such event
    if (context.name === 'order.sent') void 0;
  }

  @OnEvent('order.*')
  plain(_event: unknown, context: EventContext): string {
    return context.name;
  }

  // @ts-expect-error the pattern also means order.sent
  @OnEvent('order.*')
  contextOfOne(_event: unknown, _context: EventContext<'order.paid'>): void {}

  @OnEvent(OrderPaid)
  byContract(event: { amount: number }, context: EventContext<'order.paid'>): void {
    void (event.amount + context.data.amount);
  }

  @OnEvent(UserImported, { concurrency: 1 })
  output(event: EventData<'user.imported'>): void {
    void event.age.toFixed();
  }

  @OnEvent([OrderPaid, UserImported])
  byContracts(_event: { amount: number } | { age: number }): void {}

  @OnEvent(OrderPaid, { decorated: true })
  decorated(): void {}

  // @ts-expect-error a handler receives the output of the schema
  @OnEvent(UserImported)
  input(_event: { age: string }): void {}
}

export async function byContract(events: EventService): Promise<void> {
  await events.emit(OrderPaid, { amount: 1 });
  await events.emit(UserImported, { age: '36' }, { id: '1' });
  await events.emitMany([
    { name: OrderPaid, data: { amount: 1 } },
    { name: 'order.sent', data: { at: new Date() } },
  ]);
  await events.subscribe(OrderPaid, (event) => event.amount.toFixed());
  await events.subscribe(UserImported, (event, context) => event.age + context.data.age);
  await events.subscribe('order.*', (_event, context) =>
    context.name === 'order.paid' ? context.data.amount : context.data.at,
  );
  const emit = events.emit.bind(events);
  await emit(OrderPaid, { amount: 1 });

  // @ts-expect-error a number is wanted
  await events.emit(OrderPaid, { amount: '1' });
  // @ts-expect-error emit takes the input of the schema
  await events.emit(UserImported, { age: 36 });
  // @ts-expect-error a number is wanted
  await emit(OrderPaid, { amount: '1' });
  // @ts-expect-error data of another event
  await events.emitMany([{ name: OrderPaid, data: { at: new Date() } }]);
  // @ts-expect-error the data has no such property
  await events.subscribe(OrderPaid, (event) => event.at);
  // @ts-expect-error there is no function
  await events.subscribe(OrderPaid);
}

export const named: {
  breaker?: CircuitBreakerOptions;
  counts?: readonly DeadLetterCount[];
  page?: DeadLetterPage;
  tls?: TlsOptions;
  logger?: EventsLogger;
  subscription?: SubscriptionStatus;
} = {};
export const reason: DeadLetterReason = 'validation';
export const mode: DeliveryMode = 'durable';
export const start: StartFrom = 'first';
export const many: EmitManyOptions = { window: 1 };
export const pending: PendingEmitsOptions = { inFlight: 1 };
export const strategy: EventsStrategyOptions = { prefix: 'events.' };
