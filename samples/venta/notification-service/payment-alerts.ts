import { Injectable } from '@nestjs/common';
import { OnEvent } from '@venta/events';
import { type PaymentFailedEvent } from '../events';
import { Narrated } from '../narrated.decorator';
import { EmailService } from './email.service';

@Injectable()
export class PaymentAlerts {
  constructor(private emailService: EmailService) {}

  @OnEvent('payment.failed')
  @Narrated('Notification Service', ({ userId, error }: PaymentFailedEvent) => `tells ${userId}: ${error}`)
  async alert(event: PaymentFailedEvent) {
    await this.emailService.sendPaymentFailed(event.userId, event.error);
  }
}
