import { Inject, Injectable } from '@nestjs/common';
import { NatsRecordBuilder, type ClientProxy } from '@nestjs/microservices';
import { headers } from 'nats';
import { lastValueFrom } from 'rxjs';

@Injectable()
export class OrderService {
  constructor(@Inject('ORDERS') private readonly client: ClientProxy) {}

  async place(orderId: string, amount: number): Promise<void> {
    const tenant = headers();
    tenant.set('x-tenant', 'acme');
    const order = { orderId, amount, placedAt: new Date() };
    const record = new NatsRecordBuilder(order).setHeaders(tenant).build();
    await lastValueFrom(this.client.emit('order.placed', record));
  }
}
