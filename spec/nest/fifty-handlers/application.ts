import { randomUUID } from 'node:crypto';
import {
  Catch,
  Controller,
  Global,
  Inject,
  Injectable,
  Module,
  ValidationPipe,
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE, BaseExceptionFilter } from '@nestjs/core';
import {
  EventsClient,
  EventsModule,
  type EmitReceipt,
  type EventContext,
  type EventMiddleware,
  type OutboundEvent,
} from '@venta/events';
import { ClsModule, ClsServiceManager } from 'nestjs-cls';
import type { Observable } from 'rxjs';
import { Journal, movedHandlers, plainController, Repository } from './feature';

const cls = () => ClsServiceManager.getClsService<{ tenant: string | undefined }>();

interface Edge {
  readonly headers: Record<string, string | undefined>;
}

/** What has headers: the request, or the event. */
const edgeOf = (host: ArgumentsHost): Edge =>
  host.getType() === 'http'
    ? host.switchToHttp().getRequest<Edge>()
    : host.switchToRpc().getContext<EventContext>();

/** How often each global enhancer ran, by the type of the context. */
@Injectable()
export class Enhanced {
  readonly counts: Record<string, number> = {};

  count(by: string, host: ArgumentsHost): void {
    const key = `${by}, ${host.getType()}`;
    this.counts[key] = (this.counts[key] ?? 0) + 1;
  }
}

@Injectable()
class KnownTenant implements CanActivate {
  constructor(private readonly enhanced: Enhanced) {}

  canActivate(host: ExecutionContext): boolean {
    this.enhanced.count('guard', host);
    if (host.getType() !== 'http' && cls().isActive()) this.enhanced.count('inside of a request', host);
    return edgeOf(host).headers['x-tenant'] !== undefined;
  }
}

@Injectable()
class Counted implements NestInterceptor {
  constructor(private readonly enhanced: Enhanced) {}

  intercept(host: ExecutionContext, next: CallHandler): Observable<unknown> {
    this.enhanced.count('interceptor', host);
    return next.handle();
  }
}

@Catch()
class Answered extends BaseExceptionFilter {
  @Inject(Enhanced) private readonly enhanced!: Enhanced;

  override catch(error: unknown, host: ArgumentsHost): void {
    this.enhanced.count('filter', host);
    if (host.getType() === 'http') super.catch(error, host);
  }
}

/** The tenant goes from the request to its events, and from those to theirs. */
@Injectable()
class TenantOfEvents implements EventMiddleware {
  publish(event: OutboundEvent, next: () => Promise<EmitReceipt>): Promise<EmitReceipt> {
    const tenant = cls().get('tenant');
    if (tenant !== undefined) event.headers['x-tenant'] = tenant;
    return next();
  }
}

@Global()
@Module({
  providers: [Journal, Repository, Enhanced, { provide: 'EVENTS', useExisting: EventsClient }],
  exports: [Journal, Repository, Enhanced, 'EVENTS'],
})
class SharedModule {}

@Controller()
class OrderController extends plainController('order') {}
@Injectable()
class OrderHandlers extends movedHandlers('order') {}
@Module({ controllers: [OrderController], providers: [OrderHandlers] })
class OrderModule {}

@Controller()
class RefundController extends plainController('refund') {}
@Injectable()
class RefundHandlers extends movedHandlers('refund') {}
@Module({ controllers: [RefundController], providers: [RefundHandlers] })
class RefundModule {}

@Controller()
class RentalController extends plainController('rental') {
  @Inject(Repository) declare readonly repository: Repository;
}
@Injectable()
class RentalHandlers extends movedHandlers('rental') {}
@Module({ controllers: [RentalController], providers: [RentalHandlers] })
class RentalModule {}

@Controller()
class VoucherController extends plainController('voucher') {}
@Injectable()
class VoucherHandlers extends movedHandlers('voucher') {}
@Module({ controllers: [VoucherController], providers: [VoucherHandlers] })
class VoucherModule {}

@Controller()
class RepairController extends plainController('repair') {
  @Inject(Repository) declare readonly repository: Repository;
}
@Injectable()
class RepairHandlers extends movedHandlers('repair') {}
@Module({ controllers: [RepairController], providers: [RepairHandlers] })
class RepairModule {}

export const FEATURES = ['order', 'refund', 'rental', 'voucher', 'repair'];
/** Those whose controllers are made for each event. */
export const SCOPED = ['rental', 'repair'];
export const MOVED = ['placed', 'checked', 'priced', 'reserved', 'paid'];
export const PLAIN = ['packed', 'shipped', 'delivered', 'invoiced', 'archived'];

/** Fifty handlers in five modules, with all that is usual around them. */
@Module({
  imports: [
    ClsModule.forRoot({
      global: true,
      middleware: {
        mount: true,
        generateId: true,
        // A header of its own: only by `correlationId` below do events know of it.
        idGenerator: ({ headers }: Edge) => headers['x-case-id'] ?? randomUUID(),
        setup: (store, { headers }: Edge) => store.set('tenant', headers['x-tenant']),
      },
      interceptor: {
        mount: true,
        generateId: true,
        idGenerator: (host) => host.switchToRpc().getContext<EventContext>().correlationId,
        setup: (store, host) => store.set('tenant', edgeOf(host).headers['x-tenant']),
      },
    }),
    EventsModule.register({
      appName: 'shop',
      globalEnhancers: true,
      correlationId: () => cls().getId(),
      middleware: [TenantOfEvents],
    }),
    SharedModule,
    OrderModule,
    RefundModule,
    RentalModule,
    VoucherModule,
    RepairModule,
  ],
  providers: [
    { provide: APP_GUARD, useClass: KnownTenant },
    { provide: APP_PIPE, useValue: new ValidationPipe({ transform: true, whitelist: true }) },
    { provide: APP_INTERCEPTOR, useClass: Counted },
    { provide: APP_FILTER, useClass: Answered },
  ],
})
export class ShopModule {}
