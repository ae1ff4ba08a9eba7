import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientsModule, EventPattern, Payload } from '@nestjs/microservices';
import { BillingModule, ShippingModule } from './business/modules';
import { OrderService } from './business/order.service';
import { Payments } from './business/payments';
import { logger, overNats, plainService } from './plain-nest';
import { story } from './story';

// Where this application comes from: a ClientProxy, controllers with @EventPattern, no guarantees.

@Module({
  imports: [ClientsModule.register([{ name: 'ORDERS', ...overNats('orders') }])],
  providers: [OrderService],
})
export class PlainOrdersModule {}

/** A service of another team, without a pipe that would make a Date of a text. */
@Controller()
class ReportsController {
  @EventPattern('order.placed')
  count(@Payload() order: { placedAt: Date }): void {
    story.tell('reports', `placedAt, of type Date, is a ${order.placedAt.constructor.name}`);
  }
}

@Module({ controllers: [ReportsController] })
class ReportsModule {}

export async function step0(): Promise<void> {
  const billing = await plainService(BillingModule, overNats('billing'));
  const shipping = await plainService(ShippingModule, overNats('shipping'));
  const reports = await plainService(ReportsModule, overNats('reports'));
  const orders = await NestFactory.createApplicationContext(PlainOrdersModule, { logger });

  story.line('order-1 is placed');
  await orders.get(OrderService).place('order-1', 10);
  await story.hear(4);

  story.line('order-2 is placed, and billing fails once');
  billing.get(Payments).fail('order-2', 1);
  await orders.get(OrderService).place('order-2', 20);
  await story.hear(4);

  story.line('order-3 is placed');
  await orders.get(OrderService).place('order-3', 30);
  await story.hear(4);
  story.line(`charged: ${billing.get(Payments).charged.join(', ')}; order-2 is lost`);

  for (const app of [orders, billing, shipping, reports]) await app.close();
}
