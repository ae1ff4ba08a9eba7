import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { OrderPlaced } from './order-placed';
import { Payments } from './payments';

@Controller()
export class BillingController {
  constructor(private readonly payments: Payments) {}

  @EventPattern('order.placed')
  async charge(@Payload() order: OrderPlaced): Promise<void> {
    await this.payments.charge(order.orderId);
  }
}
