// `EventMap` comes from a list of contracts, and from declarations beside it.
import { defineEvent, EventService, EventsModule, OnEvent, type EventsOf } from '@venta/events';
import { z } from 'zod';

const contracts = [
  defineEvent('user.created', { schema: z.object({ userId: z.string() }) }),
  defineEvent('order.paid', { schema: z.object({ amount: z.coerce.number<string>() }) }),
] as const;
const frozen = [defineEvent('user.deleted', { schema: z.object({ userId: z.string() }) })];

declare module '@venta/events' {
  interface EventMap extends EventsOf<typeof contracts>, EventsOf<typeof frozen> {
    'by.hand': { readonly at: Date };
  }
}

EventsModule.register({ appName: 'shop', events: [...contracts, ...frozen] });
EventsModule.registerAsync({ useFactory: () => ({ appName: 'shop', events: contracts }) });
EventsModule.registerAsync({
  inject: ['CONFIG'],
  useFactory: async (config: { appName: string }) => ({ appName: config.appName }),
});

export class Handlers {
  @OnEvent('user.*')
  users(event: { userId: string }): void {
    void event.userId;
  }

  @OnEvent('order.paid')
  paid(event: { amount: number }): void {
    void event.amount.toFixed();
  }

  @OnEvent('by.hand')
  byHand(event: { at: Date }): void {
    void event.at.getTime();
  }

  // @ts-expect-error a handler receives the output of the schema
  @OnEvent('order.paid')
  input(_event: { amount: string }): void {}
}

export async function emitting(events: EventService): Promise<void> {
  await events.emit('user.created', { userId: '1' });
  await events.emit('user.deleted', { userId: '1' });
  await events.emit('order.paid', { amount: '5' });
  await events.emit('by.hand', { at: new Date() });

  // @ts-expect-error emit takes the input of the schema
  await events.emit('order.paid', { amount: 5 });
  // @ts-expect-error no such event
  await events.emit('user.renamed', { userId: '1' });
}

// @ts-expect-error useFactory must make options
EventsModule.registerAsync({ useFactory: () => ({ name: 'shop' }) });
EventsModule.register({ url: 'memory://' }); // the name may come from APP_NAME
// @ts-expect-error a name is text
EventsModule.register({ appName: 1 });
