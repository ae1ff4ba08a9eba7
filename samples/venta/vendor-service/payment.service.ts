import { Injectable } from '@nestjs/common';
import { EventService } from '@venta/events';

@Injectable()
export class PaymentService {
  constructor(private eventService: EventService) {}

  /** This bank declines everything. */
  async charge(userId: string, amount: number) {
    await this.eventService.emit('payment.failed', {
      userId,
      paymentId: 'payment-789',
      error: 'Insufficient funds',
      amount,
      timestamp: new Date(),
    });
  }
}
