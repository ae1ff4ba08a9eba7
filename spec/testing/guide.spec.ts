import { Injectable, Module } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { EventService, EventsModule, OnEvent } from '@venta/events';
import { EventsTestingModule, TestEvents, type EventsTestingOptions } from '@venta/events/testing';

interface OrderPlaced {
  orderId: string;
  amount: number;
}

@Injectable()
class Payments {
  online = true;
  readonly charged = new Map<string, number>();

  constructor(private readonly events: EventService) {}

  @OnEvent('order.placed')
  async charge({ orderId, amount }: OrderPlaced) {
    if (!this.online) throw new Error('the bank does not answer');
    this.charged.set(orderId, amount);
    await this.events.emit('order.paid', { orderId, amount }, { id: `paid-${orderId}` });
  }
}

@Module({ imports: [EventsModule.register({ appName: 'shop' })], providers: [Payments] })
class AppModule {}

describe('payments', () => {
  let app: TestingModule;
  let events: TestEvents;
  const start = async (options?: EventsTestingOptions) => {
    app = await Test.createTestingModule({
      imports: [AppModule, EventsTestingModule.override(options)],
    }).compile();
    app.useLogger(false); // failures are logged, as everywhere
    await app.init(); // from here on, handlers run
    events = app.get(TestEvents);
  };
  const place = (orderId: string) => app.get(EventService).emit('order.placed', { orderId, amount: 10 });
  afterEach(() => app.close());

  it('charges an order', async () => {
    await start();
    await place('1');
    await events.settled();
    expect(events.emitted('order.paid')).toMatchObject([{ data: { orderId: '1' } }]);
  });

  it('charges it when the bank answers again', async () => {
    await start();
    app.get(Payments).online = false;
    await place('1');
    await events.advance(5000);
    expect(events.failed('order.placed').map(({ attempt }) => attempt)).toEqual([1, 2, 3]); // at 0, 1 and 3 s
    app.get(Payments).online = true;
    await events.advance(4000);
    expect(events.handled('order.placed')).toMatchObject([{ attempt: 4, subscription: 'Payments.charge' }]);
  });

  it('gives an order up in the end', async () => {
    await start({ retry: { attempts: 3 } });
    app.get(Payments).online = false;
    await place('1');
    await events.advance(60_000);
    expect(events.deadLettered('order.placed')).toMatchObject([
      { reason: 'attempts_exhausted', message: 'the bank does not answer', attempts: 4 },
    ]);
  });

  it('charges an order once, although it comes twice', async () => {
    await start({ test: { duplicate: true } });
    await place('1');
    await events.settled();
    expect(events.handled('order.placed')).toHaveLength(2);
    expect(events.emitted('order.paid').filter(({ receipt }) => !receipt.duplicate)).toHaveLength(1);
  });

  it('charges every order, although a third of all attempts fails', async () => {
    await start({ test: { fail: { probability: 0.33, seed: 7, events: ['order.placed'] } } });
    for (let i = 0; i < 50; i++) await place(`${i}`);
    await events.advance(600_000);
    expect(app.get(Payments).charged.size).toBe(50);
  });
});
