import {
  Injectable,
  Module,
  type CanActivate,
  type ExecutionContext,
  type Provider,
  type Type,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import {
  defineEvent,
  EventsModule,
  EventService,
  OnEvent,
  type EventContext,
  type EventsOf,
} from '@venta/events';
import { Failures, Told } from './business/global-enhancers';
import { OrderPlaced } from './business/order-placed';
import { Payments } from './business/payments';
import { logger } from './plain-nest';
import { story } from './story';

// Nest's NATS transport goes. The class behind the ValidationPipe is now the contract, checked on both sides, and the
// handlers are methods of any provider.

const contracts = [defineEvent('order.placed', { schema: OrderPlaced })] as const;
// An application has `declare module '@venta/events' { interface EventMap extends EventsOf<typeof contracts> {} }` here,
// and the compiler checks names and data everywhere. All samples are compiled as one program, and share no events.
type Events = EventsOf<typeof contracts>;

const eventsFor = (appName: string) =>
  EventsModule.register({ appName, events: contracts, strict: true, globalEnhancers: true });

@Injectable()
class Orders {
  constructor(private readonly events: EventService) {}

  async place(orderId: string, amount: number): Promise<void> {
    const order: Events['order.placed'] = { orderId, amount, placedAt: new Date() };
    await this.events.emit('order.placed', order, { headers: { 'x-tenant': 'acme' } });
  }
}

@Module({ imports: [eventsFor('orders')], providers: [Orders] })
class OrdersModule {}

/** What has changed: headers are an object. */
@Injectable()
class KnownTenant implements CanActivate {
  canActivate(host: ExecutionContext): boolean {
    return host.switchToRpc().getContext<EventContext>().headers['x-tenant'] === 'acme';
  }
}

const globalEnhancers = (service: string): Provider[] => [
  { provide: APP_GUARD, useClass: KnownTenant },
  { provide: APP_INTERCEPTOR, useValue: new Told(service) },
  { provide: APP_FILTER, useValue: new Failures(service) },
];

@Injectable()
class Billing {
  constructor(private readonly payments: Payments) {}

  // The name that the handler had: it goes on where it was, and its dead letters still find it.
  @OnEvent('order.placed', { name: 'BillingController.charge' })
  async charge({ orderId }: OrderPlaced): Promise<void> {
    await this.payments.charge(orderId);
  }
}

@Module({ imports: [eventsFor('billing')], providers: [Billing, Payments, ...globalEnhancers('billing')] })
class BillingModule {}

@Injectable()
class Shipping {
  @OnEvent('order.placed', { name: 'ShippingController.pack' })
  pack(order: OrderPlaced, context: EventContext): void {
    const { name } = order.placedAt.constructor;
    story.tell('shipping', `${context.name} is ${order.constructor.name}, placedAt is a ${name}`);
  }
}

@Module({ imports: [eventsFor('shipping')], providers: [Shipping, ...globalEnhancers('shipping')] })
class ShippingModule {}

@Injectable()
class Reports {
  @OnEvent('order.placed')
  count(order: { placedAt: Date }): void {
    story.tell('reports', `placedAt, of type Date, is a ${order.placedAt.constructor.name}`);
  }
}

@Module({ imports: [EventsModule.register({ appName: 'reports' })], providers: [Reports] })
class ReportsModule {}

export async function step3(): Promise<void> {
  const start = (module: Type) => NestFactory.createApplicationContext(module, { logger });
  const orders = await start(OrdersModule);
  story.line('order-8 is placed while nobody else runs');
  await orders.get(Orders).place('order-8', 80);

  const billing = await start(BillingModule);
  const shipping = await start(ShippingModule);
  const reports = await start(ReportsModule);
  await story.hear(3);
  story.line('reports is new: it begins with what comes from now on');

  story.line('order-9 is placed');
  await orders.get(Orders).place('order-9', 90);
  await story.hear(4);

  for (const app of [orders, billing, shipping, reports]) await app.close();
}
