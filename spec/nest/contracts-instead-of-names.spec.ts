import { Injectable } from '@nestjs/common';
import { defineEvent, EventService, EventValidationError, OnEvent, type EventContext } from '@venta/events';
import { z } from 'zod';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';
import { sharedMemory } from '../support/shared-memory';

const memory = sharedMemory();
const { start } = applications(() => ({ url: memory.url }));

const UserImported = defineEvent('user.imported', {
  schema: z.object({ age: z.string().transform(Number) }),
});
const OrderPaid = defineEvent('order.paid', { schema: z.object({ amount: z.number() }) });

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('handled events')));

@Injectable()
class Handlers {
  @OnEvent(UserImported, { concurrency: 1 })
  imported(event: { age: number }, context: EventContext<'user.imported'>): void {
    received.add([context.name, event.age, context.data]);
  }

  @OnEvent([OrderPaid, 'vendor.*'])
  orders(event: unknown): void {
    received.add(event);
  }
}

describe.each([
  ['registered', { events: [UserImported, OrderPaid], strict: true }],
  ['unregistered', {}],
])('a contract instead of a name, %s', (_, options) => {
  it('is emitted and handled as its name, with its schema', async () => {
    const app = await start({ providers: [Handlers] }, options);
    const events = app.get(EventService);
    await events.emit(UserImported, { age: '36' });
    expect(await received.atLeast(1)).toEqual([['user.imported', 36, { age: 36 }]]);
    await events.emitMany([{ name: OrderPaid, data: { amount: 1 } }]);
    expect((await received.atLeast(2)).at(-1)).toEqual({ amount: 1 });
  });

  it('refuses data that does not fit, in emit, emitMany and by name', async () => {
    const app = await start({}, options);
    const events = app.get(EventService);
    const data = { amount: '1' } as unknown as { amount: number };
    await expect(events.emit(OrderPaid, data)).rejects.toThrow(EventValidationError);
    await expect(events.emitMany([{ name: OrderPaid, data }])).rejects.toThrow(/amount/);
    await expect(events.emit('order.paid', data)).rejects.toThrow(EventValidationError);
  });

  it('is subscribed by its name', async () => {
    const app = await start({}, options);
    const events = app.get(EventService);
    const subscription = await events.subscribe(UserImported, (event) => received.add(event.age));
    expect(subscription.patterns).toEqual(['user.imported']);
    await events.emit('user.imported', { age: '36' });
    expect(await received.atLeast(1)).toEqual([36]);
  });
});

it('refuses a contract that is not registered, where `strict` is on', async () => {
  const app = await start({}, { strict: true, events: [OrderPaid] });
  const events = app.get(EventService);
  const refusal = { code: 'unknown_event' };
  await expect(events.emit(UserImported, { age: '36' })).rejects.toMatchObject(refusal);
  await expect(events.emitMany([{ name: UserImported, data: { age: '36' } }])).rejects.toMatchObject(refusal);
  await expect(events.subscribe(UserImported, () => undefined)).rejects.toMatchObject(refusal);
});

it.each([[undefined], [null], ['handle'], [{}]])('refuses to subscribe %p as a handler', async (handler) => {
  const events = (await start({})).get(EventService);
  await expect(events.subscribe('user.*', handler as unknown as () => void)).rejects.toMatchObject({
    code: 'invalid_configuration',
    message: expect.stringContaining('"user.*"') as string,
  });
});
