import { Module, type INestApplication, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { createEventService, EventsModule, EventsStrategy } from '@venta/events';
import { BillingModule, ShippingModule } from './business/modules';
import { OrderService } from './business/order.service';
import { Payments } from './business/payments';
import { logger, overNats, subscribed } from './plain-nest';
import { PlainOrdersModule } from './step-0-plain-nest';
import { story } from './story';

// The consumers first: the same modules and controllers, served twice. Over NATS comes what the producers still emit there,
// by the strategy what will come when they have moved. No event comes both ways.

@Module({ imports: [EventsModule.register({ appName: 'billing' }), BillingModule] })
export class BillingApplication {}

@Module({ imports: [EventsModule.register({ appName: 'shipping' }), ShippingModule] })
export class ShippingApplication {}

export async function bothWays(module: Type, queue: string): Promise<INestApplication> {
  const app = await NestFactory.create(module, { logger });
  const nats = app.connectMicroservice<MicroserviceOptions>(overNats(queue), { inheritAppConfig: true });
  app.connectMicroservice<MicroserviceOptions>({ strategy: new EventsStrategy({ globalEnhancers: true }) });
  await app.startAllMicroservices();
  await app.init(); // a service with HTTP listens here
  await subscribed(nats);
  return app;
}

export async function step1(): Promise<void> {
  const billing = await bothWays(BillingApplication, 'billing');
  const shipping = await bothWays(ShippingApplication, 'shipping');
  const orders = await NestFactory.createApplicationContext(PlainOrdersModule, { logger });

  story.line('order-4 is placed over NATS, as before');
  await orders.get(OrderService).place('order-4', 40);
  await story.hear(3);

  story.line('order-5 is emitted by hand, to see that the other way is open, and billing fails once');
  billing.get(Payments).fail('order-5', 1);
  const hand = await createEventService({ appName: 'trial', consume: false });
  const order = { orderId: 'order-5', amount: 50, placedAt: new Date() };
  await hand.emit('order.placed', order, { headers: { 'x-tenant': 'acme' } });
  await hand.drain();
  await story.hear(4);

  for (const app of [orders, billing, shipping]) await app.close();
}
