import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, NatsContext, Payload } from '@nestjs/microservices';
import { story } from '../story';
import { OrderPlaced } from './order-placed';

@Controller()
export class ShippingController {
  @EventPattern('order.placed')
  pack(@Payload() order: OrderPlaced, @Ctx() context: NatsContext): void {
    const { name } = order.placedAt.constructor;
    story.tell('shipping', `${context.getSubject()} is ${order.constructor.name}, placedAt is a ${name}`);
  }
}
