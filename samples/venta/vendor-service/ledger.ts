import { Injectable } from '@nestjs/common';
import { OnEvent } from '@venta/events';
import { type PaymentFailedEvent } from '../events';
import { Narrated } from '../narrated.decorator';

/** Never succeeds: what it cannot book becomes a dead letter. */
@Injectable()
export class Ledger {
  @OnEvent('payment.failed')
  @Narrated('Vendor Service', ({ paymentId }: PaymentFailedEvent) => `books ${paymentId}`)
  book(event: PaymentFailedEvent) {
    throw new Error(`there is no account for ${event.paymentId}`);
  }
}
