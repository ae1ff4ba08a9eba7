// Code that is generic over the events of a map, and methods of the service that are bound or passed on.
import {
  defineEvent,
  type EventService,
  type EmitReceipt,
  type EventMap,
  type EventsOf,
  type EventToEmit,
} from '@venta/events';
import { z } from 'zod';

export const contracts = [
  defineEvent('user.imported', { schema: z.object({ age: z.string().transform(Number) }) }),
] as const;

declare module '@venta/events' {
  interface EventMap extends EventsOf<typeof contracts> {
    'user.created': { userId: string; timestamp: Date };
    'order.paid': { amount: number };
  }
}

/** The names of the events. */
type Name = keyof EventMap;
/** What `emit` takes for a name: the input of the schema, where there is one. */
type Emitted<N extends Name> = EventToEmit<N>['data'];
/** What `subscribe` takes for a name. */
type Handler<N extends Name> = Parameters<typeof EventService.prototype.subscribe<N>>[1];

export class Publisher<N extends Name> {
  constructor(
    private readonly events: EventService,
    private readonly name: N,
  ) {}

  publish(data: Emitted<N>): Promise<EmitReceipt> {
    return this.events.emit(this.name, data);
  }

  publishAll(all: readonly Emitted<N>[]): Promise<EmitReceipt[]> {
    return Promise.all(all.map((data) => this.events.emit(this.name, data)));
  }

  async listen(handler: Handler<N>): Promise<void> {
    await this.events.subscribe(this.name, handler);
  }
}

export const emitVia = <N extends Name>(events: EventService, name: N, data: Emitted<N>) =>
  events.emit(name, data);

export const subscribeVia = <N extends Name>(events: EventService, name: N, handler: Handler<N>) =>
  events.subscribe(name, handler, { concurrency: 1 });

export async function wrapped(events: EventService): Promise<void> {
  const users = new Publisher(events, 'user.imported');
  await users.publish({ age: '36' });
  await users.publishAll([{ age: '36' }, { age: '37' }]);
  await users.listen((event) => event.age.toFixed());
  await emitVia(events, 'order.paid', { amount: 1 });
  await subscribeVia(events, 'order.paid', (event, context) => event.amount.toFixed() + context.id);

  // @ts-expect-error no such event
  new Publisher(events, 'user.craeted');
  // @ts-expect-error emit takes the input of the schema, not the output
  await users.publish({ age: 36 });
  // @ts-expect-error handlers receive the output of the schema, not the input
  await users.listen((event: { age: string }) => event.age.charAt(0));
  // @ts-expect-error data of another event
  await emitVia(events, 'order.paid', { userId: '1', timestamp: new Date() });
  // @ts-expect-error the data has no such property
  await subscribeVia(events, 'order.paid', (event) => event.userId);
  // @ts-expect-error no such event
  await emitVia(events, 'order.piad', { amount: 1 });
}

export async function anyPattern(events: EventService, pattern: string): Promise<void> {
  await events.subscribe(pattern as '>', (event) => ('amount' in event ? event.amount : event));

  // @ts-expect-error a pattern that is any string may match none
  await events.subscribe(pattern, () => undefined);
}

export async function bound(events: EventService): Promise<void> {
  const emit = events.emit.bind(events);
  const emitMany = events.emitMany.bind(events);
  const subscribe = events.subscribe.bind(events);

  const receipt: EmitReceipt = await emit('order.paid', { amount: 1 });
  await emit('user.imported', { age: '36' }, { id: receipt.id });
  await emitMany([{ name: 'order.paid', data: { amount: 1 } }]);
  await subscribe('order.paid', (event) => event.amount.toFixed());
  await subscribe('user.*', (event) => ('age' in event ? event.age.toFixed() : event.userId));

  // @ts-expect-error no such event
  await emit('order.piad', { amount: 1 });
  // @ts-expect-error data of another event
  await emit('user.created', { amount: 1 });
  // @ts-expect-error emit takes the input of the schema, not the output
  await emit('user.imported', { age: 36 });
  // @ts-expect-error data of another event
  await emitMany([{ name: 'order.paid', data: { age: '36' } }]);
  // @ts-expect-error a wildcard that matches no event
  await subscribe('vendor.*', () => undefined);
  // @ts-expect-error the union has no such property
  await subscribe('user.*', (event) => event.amount);
}

/** The methods of the service as somebody else's dependency. */
export interface Emitter {
  emit: EventService['emit'];
}

export async function passedOn({ emit }: Emitter): Promise<void> {
  await emit('order.paid', { amount: 1 });
  // @ts-expect-error data of another event
  await emit('order.paid', { amount: '1' });
}
