import { setTimeout } from 'node:timers/promises';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventPattern, Payload } from '@nestjs/microservices';
import { DeadLetterService, EventsClient, EventsDeserializer, EventsModule } from '@venta/events';
import { OrderService } from './business/order.service';
import { Payments } from './business/payments';
import { logger, overNats, plainService } from './plain-nest';
import { BillingApplication, bothWays, ShippingApplication } from './step-1-consumers';
import { story } from './story';

// Then the producers: the provider behind the ClientProxy is another one, the OrderService is the same.

@Module({
  imports: [EventsModule.register({ appName: 'orders' })],
  providers: [OrderService, { provide: 'ORDERS', useExisting: EventsClient }],
})
class OrdersModule {}

/** The other team has not moved: one line more tells where the events are now. */
@Controller()
class ReportsController {
  @EventPattern(['order.placed', 'shop.order.placed'])
  count(@Payload() order: { placedAt: Date }): void {
    story.tell('reports', `placedAt, of type Date, is a ${order.placedAt.constructor.name}`);
  }
}

@Module({ controllers: [ReportsController] })
class ReportsModule {}

export async function step2(): Promise<void> {
  const billing = await bothWays(BillingApplication, 'billing');
  const shipping = await bothWays(ShippingApplication, 'shipping');
  const deserializer = new EventsDeserializer({ clusterId: 'shop' });
  const reports = await plainService(ReportsModule, overNats('reports', { deserializer }));
  const orders = await NestFactory.createApplicationContext(OrdersModule, { logger });

  story.line('order-6 is placed, and billing fails once');
  billing.get(Payments).fail('order-6', 1);
  await orders.get(OrderService).place('order-6', 60);
  await story.hear(5);

  story.line('order-7 is placed, and billing fails every time');
  billing.get(Payments).fail('order-7');
  await orders.get(OrderService).place('order-7', 70);
  await story.hear(6);

  const deadLetters = billing.get(DeadLetterService);
  while ((await deadLetters.count()).length === 0) await setTimeout(20);
  const { items } = await deadLetters.list();
  for (const { subscription, event, attempts, reason, error } of items) {
    story.line(
      `dead letter: ${event} for ${subscription}, ${attempts} attempts, ${reason}: ${error.message}`,
    );
  }

  story.line('the payment provider is repaired, and the dead letter sent back to the handler that failed');
  billing.get(Payments).repair();
  await deadLetters.redrive({ subscription: 'BillingController.charge' });
  await story.hear(1);
  story.line(`charged: ${billing.get(Payments).charged.join(', ')}`);

  for (const app of [orders, billing, shipping, reports]) await app.close();
}
