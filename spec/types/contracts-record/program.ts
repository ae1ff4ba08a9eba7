// `EventMap` comes from a record of contracts, of three kinds of schema.
import {
  defineEvent,
  EventService,
  EventsModule,
  OnEvent,
  type EventContext,
  type EventsOf,
} from '@venta/events';
import * as v from 'valibot';
import { z } from 'zod';

class OrderPaid {
  amount!: number;
  currency!: string;
  total(): string {
    return `${this.amount} ${this.currency}`;
  }
}

const contracts = {
  userCreated: defineEvent('user.created', {
    schema: z.object({ userId: z.string(), timestamp: z.date() }),
    description: 'Somebody signed up',
    version: '1',
    context: 'identity',
  }),
  userImported: defineEvent('user.imported', {
    schema: z.object({ age: z.string().transform(Number), role: z.string().default('guest') }),
  }),
  userRenamed: defineEvent('user.renamed', { schema: v.object({ name: v.string() }) }),
  stockCounted: defineEvent('stock.counted', {
    schema: v.object({ count: v.pipe(v.string(), v.transform(Number)) }),
  }),
  orderPaid: defineEvent('order.paid', { schema: OrderPaid }),
};

declare module '@venta/events' {
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type
  interface EventMap extends EventsOf<typeof contracts> {}
}

EventsModule.register({ appName: 'shop', events: contracts, strict: true });

export class Handlers {
  @OnEvent('user.created')
  created(event: { userId: string; timestamp: Date }): void {
    void event.timestamp.getTime();
  }

  @OnEvent('user.imported')
  output(event: { age: number; role: string }, _context: EventContext): void {
    void event.age.toFixed();
  }

  @OnEvent('user.renamed')
  valibot(event: { name: string }): void {
    void event.name;
  }

  @OnEvent('stock.counted')
  valibotOutput(event: { count: number }): void {
    void event.count;
  }

  @OnEvent('order.paid')
  instance(event: OrderPaid): string {
    return event.total();
  }

  @OnEvent('user.*')
  union(
    _event: { userId: string; timestamp: Date } | { age: number; role: string } | { name: string },
  ): void {}

  // @ts-expect-error a handler receives the output of the schema, not the input
  @OnEvent('user.imported')
  input(_event: { age: string; role: string }): void {}

  // @ts-expect-error one of the wildcard's events is missing
  @OnEvent('user.*')
  notTheWholeUnion(_event: { userId: string; timestamp: Date } | { name: string }): void {}

  // @ts-expect-error no such event
  @OnEvent('userCreated')
  byKey(): void {}
}

export async function emitting(events: EventService): Promise<void> {
  await events.emit('user.created', { userId: '1', timestamp: new Date() });
  await events.emit('user.imported', { age: '36' });
  await events.emit('user.imported', { age: '36', role: 'admin' });
  await events.emit('stock.counted', { count: '7' });
  await events.emit('order.paid', new OrderPaid());
  await events.subscribe('user.imported', (event) => event.age.toFixed() + event.role.length);
  await events.subscribe('order.paid', (event) => event.total());
  await events.emitMany([
    { name: 'user.imported', data: { age: '36' } },
    { name: 'user.renamed', data: { name: 'Ada' } },
  ]);

  // @ts-expect-error emit takes the input of the schema, not the output
  await events.emit('user.imported', { age: 36 });
  // @ts-expect-error emitMany too
  await events.emitMany([{ name: 'user.imported', data: { age: 36 } }]);
  // @ts-expect-error no such event
  await events.emit('userCreated', { userId: '1', timestamp: new Date() });
  // @ts-expect-error a property is missing
  await events.emit('user.created', { userId: '1' });
  // @ts-expect-error subscribers receive the output
  await events.subscribe('stock.counted', (event: { count: string }) => event.count.charAt(0));
}

// @ts-expect-error neither a Standard Schema nor a class
defineEvent('user.created', { schema: { type: 'object' } });
// @ts-expect-error a contract needs a schema
defineEvent('user.created', { description: 'none' });
// @ts-expect-error these are not contracts
EventsModule.register({ appName: 'shop', events: { userCreated: z.string() } });
