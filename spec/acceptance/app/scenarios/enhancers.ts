import assert from 'node:assert/strict';
import {
  Catch,
  Controller,
  Inject,
  Injectable,
  Module,
  ParseIntPipe,
  Scope,
  UseFilters,
  UseGuards,
  UseInterceptors,
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_GUARD, LazyModuleLoader, NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { EventService, EventsModule, EventsStrategy, OnEvent, type EventContext } from '@venta/events';
import { EMPTY, tap, type Observable } from 'rxjs';
import { deferred } from '../deferred.js';
import type { Scenario } from '../scenario.js';

declare module '@venta/events' {
  interface EventMap {
    'order.placed': { number: string };
    'order.cancelled': { number: string };
    'order.archived': { number: string };
  }
}

@Injectable()
class Trail {
  readonly steps: string[] = [];
  readonly #awaited = new Map<number, () => void>();

  add(step: string): void {
    this.steps.push(step);
    this.#awaited.get(this.steps.length)?.();
  }
  async atLeast(count: number): Promise<readonly string[]> {
    const reached = deferred();
    this.#awaited.set(count, () => reached.resolve());
    if (this.steps.length < count) await reached.promise;
    return this.steps;
  }
}

@Injectable()
class Guard implements CanActivate {
  constructor(@Inject(Trail) private readonly trail: Trail) {}
  canActivate(host: ExecutionContext): boolean {
    this.trail.add(`guard ${host.getType<string>()}`);
    return true;
  }
}

@Injectable({ scope: Scope.REQUEST })
class Interceptor implements NestInterceptor {
  constructor(@Inject(Trail) private readonly trail: Trail) {}
  intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
    this.trail.add('before');
    return next.handle().pipe(tap({ error: () => this.trail.add('after') }));
  }
}

@Catch(RangeError)
class Filter implements ExceptionFilter {
  constructor(@Inject(Trail) private readonly trail: Trail) {}
  catch(error: RangeError, host: ArgumentsHost): Observable<never> {
    this.trail.add(`filter ${host.getType<string>()} ${error.message}`);
    return EMPTY;
  }
}

@Injectable()
@UseFilters(Filter)
class Orders {
  constructor(@Inject(Trail) private readonly trail: Trail) {}

  @UseGuards(Guard)
  @UseInterceptors(Interceptor)
  @OnEvent('order.placed', { decorated: true })
  placed(@Payload('number', ParseIntPipe) number: number, @Ctx() context: EventContext): void {
    this.trail.add(`handler ${number + 1} ${context.name}`);
    throw new RangeError('far');
  }
}

@Controller()
class Legacy {
  constructor(@Inject(Trail) private readonly trail: Trail) {}

  @EventPattern('order.cancelled')
  cancelled(@Payload() order: { number: string }): void {
    this.trail.add(`legacy ${order.number}`);
  }
}

@Injectable()
class Late {
  constructor(@Inject(Trail) private readonly trail: Trail) {}

  @OnEvent('order.archived')
  archived(): void {
    this.trail.add('late');
  }
}

@Module({ providers: [Trail], exports: [Trail] })
class TrailModule {}

@Module({ imports: [TrailModule], providers: [Late] })
class LateModule {}

@Module({ imports: [TrailModule], providers: [Orders], controllers: [Legacy] })
class AppModule {}

@Module({ imports: [TrailModule], providers: [{ provide: APP_GUARD, useClass: Guard }] })
class GuardedModule {}

export const enhancers: Scenario = {
  name: 'guards, interceptors, pipes and filters run around handlers, @EventPattern methods and lazy modules are served',
  async run(options) {
    const module = {
      module: AppModule,
      imports: [EventsModule.register({ ...options, globalEnhancers: true }), GuardedModule],
    };
    const app = await NestFactory.createMicroservice(module, {
      strategy: new EventsStrategy(),
      logger: false,
    });
    await app.listen();
    const events = app.get(EventService);
    const trail = app.get(Trail);
    await events.emit('order.placed', { number: '7' });
    assert.deepEqual(
      [...(await trail.atLeast(6))],
      ['guard event', 'guard event', 'before', 'handler 8 order.placed', 'after', 'filter event far'],
    );
    await events.emit('order.cancelled', { number: '8' });
    assert.deepEqual((await trail.atLeast(8)).slice(6), ['guard rpc', 'legacy 8']);
    await app.get(LazyModuleLoader).load(() => LateModule);
    await events.emit('order.archived', { number: '9' });
    assert.deepEqual((await trail.atLeast(10)).slice(8), ['guard event', 'late']);
    await app.close();
  },
};
