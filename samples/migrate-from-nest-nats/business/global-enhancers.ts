import {
  Catch,
  Injectable,
  ValidationPipe,
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type NestInterceptor,
  type Provider,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import type { NatsContext } from '@nestjs/microservices';
import { tap, throwError, type Observable } from 'rxjs';
import { story } from '../story';

@Injectable()
class KnownTenant implements CanActivate {
  canActivate(host: ExecutionContext): boolean {
    const headers = host.switchToRpc().getContext<NatsContext>().getHeaders() as Map<string, string>;
    return headers.get('x-tenant') === 'acme';
  }
}

const orderOf = (host: ArgumentsHost): string => host.switchToRpc().getData<{ orderId: string }>().orderId;

export class Told implements NestInterceptor {
  constructor(private readonly service: string) {}

  intercept(host: ExecutionContext, next: CallHandler): Observable<unknown> {
    const done = () => story.tell(this.service, `${host.getHandler().name} ${orderOf(host)}: done`);
    return next.handle().pipe(tap({ complete: done }));
  }
}

@Catch()
export class Failures implements ExceptionFilter {
  constructor(private readonly service: string) {}

  catch(error: Error, host: ArgumentsHost): Observable<never> {
    story.tell(this.service, `${orderOf(host)} failed, ${error.message}`);
    return throwError(() => error);
  }
}

export const globalEnhancers = (service: string): Provider[] => [
  { provide: APP_GUARD, useClass: KnownTenant },
  { provide: APP_PIPE, useValue: new ValidationPipe({ transform: true }) },
  { provide: APP_INTERCEPTOR, useValue: new Told(service) },
  { provide: APP_FILTER, useValue: new Failures(service) },
];
