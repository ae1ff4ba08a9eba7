import {
  BadRequestException,
  Catch,
  ForbiddenException,
  Injectable,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type ModuleMetadata,
  type NestInterceptor,
  type PipeTransform,
  type Provider,
  type Type,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import type { TestingModule } from '@nestjs/testing';
import { EventService, NonRetryableError, OnEvent, type EventsModuleOptions } from '@venta/events';
import { catchError, EMPTY, of, tap, throwError, type Observable } from 'rxjs';
import { eventually } from '../../lib/testing/conformance/collector';

type Start = (metadata: ModuleMetadata, options?: Partial<EventsModuleOptions>) => Promise<TestingModule>;

/** What enhancers and handler did, in order, over all attempts. */
type Trail = string[];

interface Outcome {
  readonly title: string;
  /** An enhancer class that writes what it does into the trail. */
  readonly enhancer: (trail: Trail) => Type;
  /** Thrown by the handler at its first attempt; default: nothing. */
  readonly fails?: () => unknown;
  readonly trail: readonly string[];
  readonly settled: { readonly succeeded: number; readonly retried: number; readonly deadLettered: number };
}

interface Kind {
  readonly name: string;
  readonly use: (enhancer: Type) => ClassDecorator & MethodDecorator;
  readonly app: string;
  readonly outcomes: readonly Outcome[];
}

const DONE = { succeeded: 1, retried: 0, deadLettered: 0 };
const DONE_AT_SECOND = { succeeded: 1, retried: 1, deadLettered: 0 };
const DEAD = { succeeded: 0, retried: 0, deadLettered: 1 };
const HANDLED = 'handler {"id":1}';

const guard = (trail: Trail, answer: (attempt: number) => ReturnType<CanActivate['canActivate']>): Type => {
  let attempts = 0;
  @Injectable()
  class Guard implements CanActivate {
    canActivate(host: ExecutionContext): ReturnType<CanActivate['canActivate']> {
      trail.push(`guard ${host.getType<string>()}`);
      return answer(++attempts);
    }
  }
  return Guard;
};

const pipe = (trail: Trail, transform: (value: unknown, attempt: number) => unknown): Type => {
  let attempts = 0;
  @Injectable()
  class Pipe implements PipeTransform {
    transform(value: unknown): unknown {
      trail.push('pipe');
      return transform(value, ++attempts);
    }
  }
  return Pipe;
};

const interceptor = (
  trail: Trail,
  around: (next: CallHandler, attempt: number) => Observable<unknown>,
): Type => {
  let attempts = 0;
  @Injectable()
  class Interceptor implements NestInterceptor {
    intercept(host: ExecutionContext, next: CallHandler): Observable<unknown> {
      trail.push(`interceptor ${host.getType<string>()}`);
      return around(next, ++attempts);
    }
  }
  return Interceptor;
};

const filter = (trail: Trail, answer: (error: unknown) => unknown): Type => {
  @Catch(TypeError)
  class Filter implements ExceptionFilter {
    catch(error: TypeError, host: ArgumentsHost): unknown {
      trail.push(`filter ${host.getType<string>()} ${error.message}`);
      return answer(error);
    }
  }
  return Filter;
};

const once = (attempt: number): void => {
  if (attempt === 1) throw new Error('not yet');
};

const KINDS: readonly Kind[] = [
  {
    name: 'guard',
    use: (type) => UseGuards(type),
    app: APP_GUARD,
    outcomes: [
      {
        title: 'that allows lets the handler run',
        enhancer: (trail) => guard(trail, async () => true),
        trail: ['guard event', HANDLED],
        settled: DONE,
      },
      {
        title: 'that denies makes a dead letter at once',
        enhancer: (trail) => guard(trail, () => of(false)),
        trail: ['guard event'],
        settled: DEAD,
      },
      {
        title: 'that throws a denial makes a dead letter at once',
        enhancer: (trail) =>
          guard(trail, () => {
            throw new ForbiddenException();
          }),
        trail: ['guard event'],
        settled: DEAD,
      },
      {
        title: 'that fails is asked again at the next attempt',
        enhancer: (trail) => guard(trail, (attempt) => (once(attempt), true)),
        trail: ['guard event', 'guard event', HANDLED],
        settled: DONE_AT_SECOND,
      },
    ],
  },
  {
    name: 'pipe',
    use: (type) => UsePipes(type),
    app: APP_PIPE,
    outcomes: [
      {
        title: 'gives the handler what it makes of the data',
        enhancer: (trail) => pipe(trail, async (value) => ({ ...(value as object), more: true })),
        trail: ['pipe', 'handler {"id":1,"more":true}'],
        settled: DONE,
      },
      {
        title: 'that refuses the data makes a dead letter at once',
        enhancer: (trail) =>
          pipe(trail, () => {
            throw new BadRequestException('no id');
          }),
        trail: ['pipe'],
        settled: DEAD,
      },
      {
        title: 'that fails is asked again at the next attempt',
        enhancer: (trail) => pipe(trail, (value, attempt) => (once(attempt), value)),
        trail: ['pipe', 'pipe', HANDLED],
        settled: DONE_AT_SECOND,
      },
    ],
  },
  {
    name: 'interceptor',
    use: (type) => UseInterceptors(type),
    app: APP_INTERCEPTOR,
    outcomes: [
      {
        title: 'runs around the handler',
        enhancer: (trail) =>
          interceptor(trail, (next) =>
            next.handle().pipe(tap((result) => trail.push(`after ${String(result)}`))),
          ),
        trail: ['interceptor event', HANDLED, 'after done'],
        settled: DONE,
      },
      {
        title: 'that answers itself keeps the handler from running',
        enhancer: (trail) => interceptor(trail, () => of('cached')),
        trail: ['interceptor event'],
        settled: DONE,
      },
      {
        title: 'can turn a failure into success',
        enhancer: (trail) => interceptor(trail, (next) => next.handle().pipe(catchError(() => EMPTY))),
        fails: () => new TypeError('no'),
        trail: ['interceptor event', HANDLED],
        settled: DONE,
      },
      {
        title: 'that fails runs again at the next attempt',
        enhancer: (trail) => interceptor(trail, (next, attempt) => (once(attempt), next.handle())),
        trail: ['interceptor event', 'interceptor event', HANDLED],
        settled: DONE_AT_SECOND,
      },
    ],
  },
  {
    name: 'exception filter',
    use: (type) => UseFilters(type),
    app: APP_FILTER,
    outcomes: [
      {
        title: 'is not asked when all goes well',
        enhancer: (trail) => filter(trail, () => EMPTY),
        trail: [HANDLED],
        settled: DONE,
      },
      {
        title: 'can turn a failure into success',
        enhancer: (trail) => filter(trail, () => EMPTY),
        fails: () => new TypeError('no'),
        trail: [HANDLED, 'filter event no'],
        settled: DONE,
      },
      {
        title: 'can turn a failure into another error',
        enhancer: (trail) => filter(trail, () => throwError(() => new NonRetryableError('never'))),
        fails: () => new TypeError('no'),
        trail: [HANDLED, 'filter event no'],
        settled: DEAD,
      },
      {
        title: 'that gives back nothing leaves the failure to be retried',
        enhancer: (trail) => filter(trail, () => undefined),
        fails: () => new TypeError('no'),
        trail: [HANDLED, 'filter event no', HANDLED],
        settled: DONE_AT_SECOND,
      },
      {
        title: 'is not asked for what it does not catch',
        enhancer: (trail) => filter(trail, () => EMPTY),
        fails: () => new RangeError('no'),
        trail: [HANDLED, HANDLED],
        settled: DONE_AT_SECOND,
      },
    ],
  },
];

/** Each kind of enhancer, at each level, for each outcome. */
export function enhancerMatrix(start: Start): void {
  describe.each(KINDS)('a $name', ({ use, app, outcomes }) => {
    describe.each(['method', 'class', 'application'] as const)('of the %s', (level) => {
      it.each(outcomes)('$title', async ({ enhancer, fails, trail: expected, settled }) => {
        const trail: Trail = [];
        const type = enhancer(trail);
        const handler = handlerClass(trail, fails);
        const providers: Provider[] = [handler];
        if (level === 'application') providers.push({ provide: app, useClass: type });
        else decorate(handler, use(type), level);
        const application = await start(
          { providers },
          { globalEnhancers: level === 'application', retry: { attempts: 3, delay: 1, jitter: 0 } },
        );
        const service = application.get(EventService);
        await service.emit('user.created', { id: 1 });
        const { succeeded, retried, deadLettered } = await eventually(
          async () => statusOf(service),
          (status) => status.succeeded + status.deadLettered >= 1,
          (status) => `the event is not settled: ${JSON.stringify(status)}, ${trail.join(', ')}`,
        );
        expect({ succeeded, retried, deadLettered }).toEqual(settled);
        expect(trail).toEqual(expected);
      });
    });
  });
}

const statusOf = (service: EventService): EventService['status']['subscriptions'][number] => {
  const [status] = service.status.subscriptions;
  if (status === undefined) throw new Error('the handler is not bound');
  return status;
};

function handlerClass(trail: Trail, fails?: () => unknown): Type {
  let attempts = 0;
  @Injectable()
  class Handler {
    @OnEvent('user.created')
    handle(data: unknown): string {
      trail.push(`handler ${JSON.stringify(data)}`);
      if (++attempts === 1 && fails !== undefined) throw fails();
      return 'done';
    }
  }
  return Handler;
}

function decorate(type: Type, decorator: ClassDecorator & MethodDecorator, level: 'method' | 'class'): void {
  if (level === 'class') return decorator(type) as undefined;
  const prototype = type.prototype as object;
  decorator(prototype, 'handle', Object.getOwnPropertyDescriptor(prototype, 'handle') as PropertyDescriptor);
}
