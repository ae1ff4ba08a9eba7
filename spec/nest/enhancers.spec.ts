import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate } from 'node:timers/promises';
import {
  Catch,
  ClassSerializerInterceptor,
  createParamDecorator,
  Inject,
  Injectable,
  ParseIntPipe,
  Scope,
  SetMetadata,
  UnauthorizedException,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
  ValidationPipe,
  type CallHandler,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR, Reflector, REQUEST } from '@nestjs/core';
import { BaseRpcExceptionFilter, Ctx, Payload, RpcException } from '@nestjs/microservices';
import {
  DeadLetterService,
  EventService,
  NonRetryableError,
  OnEvent,
  type DeadLetter,
  type EventContext,
} from '@venta/events';
import { Exclude, Expose } from 'class-transformer';
import { IsInt, IsString } from 'class-validator';
import { defer, from, map, of, retry, type Observable } from 'rxjs';
import { Collector, eventually } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';

const { start, compile } = applications();

let received: Collector<unknown>;
beforeEach(() => {
  received = new Collector('received');
});

const deadLetter = async (app: {
  get(type: typeof DeadLetterService): DeadLetterService;
}): Promise<DeadLetter> => {
  const { items } = await eventually(
    () => app.get(DeadLetterService).list(),
    ({ items: letters }) => letters.length > 0,
    () => 'there is no dead letter',
  );
  return items[0] as DeadLetter;
};

describe('parameters', () => {
  const Tenant = createParamDecorator((header: string, host: ExecutionContext) => {
    return host.switchToRpc().getContext<EventContext>().headers[header];
  });

  it('come from @Payload, @Payload(field, pipe), @Ctx and decorators of the application, in any order', async () => {
    @Injectable()
    class Handler {
      @OnEvent('user.created', { decorated: true })
      handle(
        @Ctx() context: EventContext,
        @Payload('age', ParseIntPipe) age: number,
        @Payload() whole: unknown,
        @Tenant('x-tenant') tenant: string,
      ): void {
        received.add([context.name, age, whole, tenant]);
      }
    }
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', { age: '7' }, { headers: { 'x-tenant': 't1' } });
    expect(await received.atLeast(1)).toEqual([['user.created', 7, { age: '7' }, 't1']]);
  });

  it('without a decorator are the data and the context, as if there were no decorators', async () => {
    @Injectable()
    class Handler {
      @OnEvent('user.created')
      first(@Payload('id') id: number, context: EventContext): void {
        received.add(['first', id, context.name]);
      }
      @OnEvent('user.created', { decorated: true })
      second(data: unknown, @Ctx() context: EventContext): void {
        received.add(['second', data, context.name]);
      }
    }
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', { id: 1 });
    expect([...(await received.atLeast(2))].sort()).toEqual([
      ['first', 1, 'user.created'],
      ['second', { id: 1 }, 'user.created'],
    ]);
  });

  it('that a pipe refuses make a dead letter with what is wrong', async () => {
    @Injectable()
    class Handler {
      @OnEvent('user.created', { decorated: true })
      handle(@Payload('age', ParseIntPipe) age: number): void {
        received.add(age);
      }
    }
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', { age: 'old' });
    expect(await deadLetter(app)).toMatchObject({
      reason: 'validation',
      attempts: 1,
      error: { type: 'EventValidationError', message: expect.stringContaining('numeric string') as string },
    });
  });

  it('are awaited when a decorator of the application is asynchronous, with pipes and without', async () => {
    const User = createParamDecorator(async (name: string) => {
      await setImmediate();
      return name;
    });
    @Injectable()
    class Handler {
      @OnEvent('user.created', { decorated: true })
      handle(
        @User('Ann') ann: string,
        @Payload() data: unknown,
        @User('7', ParseIntPipe) seven: number,
      ): void {
        received.add([ann, data, seven]);
      }
    }
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([['Ann', 1, 7]]);
  });

  it('whose asynchronous decorator rejects fail the attempt, and the handler does not run', async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    let asked = 0;
    const User = createParamDecorator(async () => {
      await setImmediate();
      asked++;
      throw new Error('the directory did not answer');
    });
    @Injectable()
    class Handler {
      @OnEvent('user.created', { decorated: true })
      handle(@User() user: unknown): void {
        received.add(user);
      }
    }
    process.on('unhandledRejection', listen);
    try {
      const app = await start({ providers: [Handler] }, { retry: { attempts: 1, delay: 1 } });
      await app.get(EventService).emit('user.created', 1);
      expect(await deadLetter(app)).toMatchObject({
        reason: 'attempts_exhausted',
        attempts: 2,
        error: { type: 'Error', message: 'the directory did not answer' },
      });
      expect(asked).toBe(2);
      expect(received.items).toEqual([]);
      expect(unhandled).toEqual([]);
    } finally {
      process.off('unhandledRejection', listen);
    }
  });
});

describe('ValidationPipe', () => {
  class Created {
    @IsString() name!: string;
    @IsInt() age!: number;
  }
  @Injectable()
  class Handler {
    @UsePipes(new ValidationPipe({ transform: true, whitelist: true }))
    @OnEvent('user.created')
    handle(data: Created, context: EventContext): void {
      received.add([data instanceof Created, { ...data }, context.name]);
    }
  }

  it('gives the handler an instance of the class of its parameter, and leaves the context alone', async () => {
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', { name: 'Ann', age: 7, more: true });
    expect(await received.atLeast(1)).toEqual([[true, { name: 'Ann', age: 7 }, 'user.created']]);
  });

  it('makes a dead letter of data that does not fit, at once, with everything that is wrong', async () => {
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', { age: 'seven' });
    const { reason, attempts, error } = await deadLetter(app);
    expect({ reason, attempts }).toEqual({ reason: 'validation', attempts: 1 });
    expect(error.message).toMatch(/name must be a string.*age must be an integer/);
    expect(received.items).toEqual([]);
  });

  it('applies to all handlers when it is global and globalEnhancers is on, and to none otherwise', async () => {
    @Injectable()
    class Plain {
      @OnEvent('user.created')
      handle(data: Created): void {
        received.add(data instanceof Created);
      }
    }
    for (const globalEnhancers of [true, false]) {
      const app = (await compile({ providers: [Plain] }, { globalEnhancers })).createNestApplication();
      app.useGlobalPipes(new ValidationPipe({ transform: true }));
      await app.init();
      await app.get(EventService).emit('user.created', { name: 'Ann', age: 7 });
      await received.atLeast(globalEnhancers ? 1 : 2);
      await app.close();
    }
    expect(received.items).toEqual([true, false]);
  });
});

describe('guards', () => {
  it('see the event: type, class, method, metadata, data and context', async () => {
    const Roles = (role: string): MethodDecorator => SetMetadata('role', role);
    @Injectable()
    class Guard implements CanActivate {
      constructor(private readonly reflector: Reflector) {}
      canActivate(host: ExecutionContext): boolean {
        const rpc = host.switchToRpc();
        received.add([
          host.getType(),
          host.getClass().name,
          host.getHandler().name,
          this.reflector.get('role', host.getHandler()),
          rpc.getData(),
          rpc.getContext<EventContext>().subscription,
        ]);
        return true;
      }
    }
    @Injectable()
    class Handler {
      @Roles('admin')
      @UseGuards(Guard)
      @OnEvent('user.created')
      handle(): void {}
    }
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', 7);
    expect(await received.atLeast(1)).toEqual([['event', 'Handler', 'handle', 'admin', 7, 'Handler.handle']]);
  });

  class Deny implements CanActivate {
    canActivate(): boolean {
      return false;
    }
  }
  @Injectable()
  @UseGuards(Deny)
  class Guarded {
    @OnEvent('user.created')
    handle(): void {
      received.add('handled');
    }
  }

  it('that deny are named in the dead letter', async () => {
    const app = await start({ providers: [Guarded] });
    await app.get(EventService).emit('user.created', 1);
    expect(await deadLetter(app)).toMatchObject({
      reason: 'non_retryable',
      attempts: 1,
      error: { type: 'NonRetryableError', message: "Deny denied 'user.created': Forbidden resource" },
    });
  });

  it('that deny are asked again when guardDenied is retry', async () => {
    const app = await start(
      { providers: [Guarded] },
      { guardDenied: 'retry', retry: { attempts: 2, delay: 1 } },
    );
    await app.get(EventService).emit('user.created', 1);
    expect(await deadLetter(app)).toMatchObject({
      reason: 'attempts_exhausted',
      attempts: 3,
      error: { type: 'RpcException', message: 'Forbidden resource' },
    });
  });

  it('are never skipped: the class is provided under a token, by a factory, or in a subclass', async () => {
    @Injectable()
    class Sub extends Guarded {}
    const app = await start({
      providers: [
        { provide: 'TOKEN', useClass: Guarded },
        { provide: 'OTHER', useFactory: () => new Sub() },
      ],
    });
    await app.get(EventService).emit('user.created', 1);
    await eventually(
      () => app.get(DeadLetterService).count(),
      (counts) => counts.length === 2,
      (count) => JSON.stringify(count),
    );
    expect(received.items).toEqual([]);
  });

  it('are made with what they inject where Nest made none: transient, and of a class under a token', async () => {
    @Injectable({ scope: Scope.TRANSIENT })
    class Transient implements CanActivate {
      constructor(private readonly reflector: Reflector) {}
      canActivate(): boolean {
        received.add(this.reflector instanceof Reflector);
        return true;
      }
    }
    @Injectable()
    class One {
      @UseGuards(Transient)
      @OnEvent('user.created')
      handle(): void {}
    }
    @Injectable()
    class Two {
      @UseGuards(Transient)
      @OnEvent('user.created')
      handle(): void {}
    }
    const app = await start({ providers: [One, { provide: 'TWO', useClass: Two }] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(2)).toEqual([true, true]);
  });

  it('that are request-scoped are made for each event, with the context of the event', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class PerEvent implements CanActivate {
      readonly made = new Date();
      canActivate(host: ExecutionContext): boolean {
        received.add([this.made instanceof Date, host.getType()]);
        return true;
      }
    }
    @Injectable()
    class Handler {
      @UseGuards(PerEvent)
      @OnEvent('user.created')
      handle(): void {}
    }
    const own = await start({ providers: [Handler] });
    await own.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([[true, 'event']]);

    @Injectable()
    class Bare {
      @OnEvent('user.created')
      handle(): void {}
    }
    const global = await start(
      { providers: [Bare, { provide: APP_GUARD, useClass: PerEvent, scope: Scope.REQUEST }] },
      { globalEnhancers: true },
    );
    await global.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(2)).toEqual([
      [true, 'event'],
      [true, 'event'],
    ]);
  });

  describe.each([
    ['a singleton', Scope.DEFAULT],
    ['a transient', Scope.TRANSIENT],
    ['a request-scoped', Scope.REQUEST],
  ])('of the application, with globalEnhancers, for the handler of %s class', (_title, scope) => {
    @Injectable({ scope })
    class Handler {
      @OnEvent('user.created')
      handle(): void {
        received.add('handled');
      }
    }
    const denied = { reason: 'non_retryable', attempts: 1, error: { type: 'NonRetryableError' } };

    it('run when they are request-scoped, with the event they are made for', async () => {
      @Injectable({ scope: Scope.REQUEST })
      class DenyScoped implements CanActivate {
        constructor(@Inject(REQUEST) private readonly request: EventContext | undefined) {}
        canActivate(): boolean {
          received.add(['guard', this.request?.name]);
          return false;
        }
      }
      const guard = { provide: APP_GUARD, useClass: DenyScoped, scope: Scope.REQUEST };
      const app = await start({ providers: [Handler, guard] }, { globalEnhancers: true });
      await app.get(EventService).emit('user.created', 1);
      expect(await deadLetter(app)).toMatchObject(denied);
      expect(received.items).toEqual([['guard', 'user.created']]);
    });

    it('run when they are transient', async () => {
      @Injectable({ scope: Scope.TRANSIENT })
      class DenyTransient implements CanActivate {
        canActivate(): boolean {
          received.add('guard');
          return false;
        }
      }
      const guard = { provide: APP_GUARD, useClass: DenyTransient, scope: Scope.TRANSIENT };
      const app = await start({ providers: [Handler, guard] }, { globalEnhancers: true });
      await app.get(EventService).emit('user.created', 1);
      expect(await deadLetter(app)).toMatchObject(denied);
      expect(received.items).toEqual(['guard']);
    });
  });

  it('of the application that are request-scoped let a transient class keep its instance', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Allow implements CanActivate {
      canActivate = (): boolean => true;
    }
    @Injectable({ scope: Scope.TRANSIENT })
    class Handler {
      #handled = 0;
      @OnEvent('user.created')
      handle(): void {
        received.add(++this.#handled);
      }
    }
    const guard = { provide: APP_GUARD, useClass: Allow, scope: Scope.REQUEST };
    const app = await start({ providers: [Handler, guard] }, { globalEnhancers: true });
    for (let each = 0; each < 3; each++) await app.get(EventService).emit('user.created', each);
    expect(await received.atLeast(3)).toEqual([1, 2, 3]);
  });
});

describe('a handler with enhancers that throws undefined', () => {
  class Allow implements CanActivate {
    canActivate = (): boolean => true;
  }
  const nothing: unknown = undefined;

  it('has failed as any other: it is retried, and then a dead letter', async () => {
    @Injectable()
    class Handler {
      @UseGuards(Allow)
      @OnEvent('user.created')
      handle(_: unknown, { attempt }: EventContext): void {
        received.add(attempt);
        throw nothing;
      }
    }
    const app = await start({ providers: [Handler] }, { retry: { attempts: 1, delay: 1 } });
    await app.get(EventService).emit('user.created', 1);
    expect(await deadLetter(app)).toMatchObject({
      reason: 'attempts_exhausted',
      attempts: 2,
      error: { message: 'undefined' },
    });
    expect(received.items).toEqual([1, 2]);
  });
});

describe('interceptors', () => {
  const tracing = (name: string): NestInterceptor => ({
    intercept: (_, next) => {
      received.add(`${name} before`);
      return next.handle().pipe(map((value: unknown) => (received.add(`${name} after`), value)));
    },
  });

  it('run in the order application, class, method, around pipes and the handler', async () => {
    @Injectable()
    @UseInterceptors(tracing('class'))
    class Handler {
      @UseInterceptors(tracing('first'), tracing('second'))
      @UsePipes({ transform: (value: unknown) => (received.add('pipe'), value) })
      @OnEvent('user.created')
      handle(): void {
        received.add('handler');
      }
    }
    const app = await start(
      { providers: [Handler, { provide: APP_INTERCEPTOR, useValue: tracing('application') }] },
      { globalEnhancers: true },
    );
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(10)).toEqual([
      ...['application before', 'class before', 'first before', 'second before', 'pipe', 'handler'],
      ...['second after', 'first after', 'class after', 'application after'],
    ]);
  });

  it('decide when, how often and in which asynchronous context the rest runs', async () => {
    const storage = new AsyncLocalStorage<string>();
    class Context implements NestInterceptor {
      intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
        return storage.run('inside', () => next.handle());
      }
    }
    class Twice implements NestInterceptor {
      async intercept(_: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
        return next.handle().pipe(retry(1));
      }
    }
    let attempts = 0;
    @Injectable()
    class Handler {
      @UseInterceptors(Context, Twice)
      @OnEvent('user.created')
      async handle(_: unknown, { attempt }: EventContext): Promise<void> {
        await Promise.resolve();
        received.add([storage.getStore(), attempt]);
        if (++attempts === 1) throw new Error('once');
      }
    }
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(2)).toEqual([
      ['inside', 1],
      ['inside', 1],
    ]);
  });

  it('of Nest itself work: ClassSerializerInterceptor', async () => {
    @Exclude()
    class Reply {
      @Expose() shown = 1;
      hidden = 2;
    }
    class Peek implements NestInterceptor {
      intercept(_: ExecutionContext, next: CallHandler): Observable<unknown> {
        return next.handle().pipe(map((value: unknown) => (received.add(value), value)));
      }
    }
    @Injectable()
    @UseInterceptors(Peek, ClassSerializerInterceptor)
    class Handler {
      @OnEvent('user.created')
      handle(): Reply {
        return new Reply();
      }
    }
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([{ shown: 1 }]);
  });

  it('receive the values of a handler that returns an Observable', async () => {
    @Injectable()
    @UseInterceptors(tracing('stream'))
    class Handler {
      @OnEvent('user.created')
      handle(): Observable<number> {
        return from([1, 2]);
      }
    }
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(3)).toEqual(['stream before', 'stream after', 'stream after']);
  });
});

describe('a handler that returns an Observable', () => {
  it('is done when the Observable is, and fails when it fails', async () => {
    let attempts = 0;
    @Injectable()
    class Handler {
      @OnEvent('user.created')
      handle(): Observable<unknown> {
        return defer(async () => {
          received.add(++attempts);
          if (attempts === 1) throw new Error('once');
        });
      }
    }
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(2)).toEqual([1, 2]);
  });
});

describe('exception filters', () => {
  const handlerWith = (filter: object, thrown: () => unknown) => {
    @Injectable()
    @UseFilters(filter as ExceptionFilter)
    class Handler {
      @OnEvent('user.created')
      handle(): void {
        received.add('handled');
        throw thrown();
      }
    }
    return Handler;
  };

  it('of Nest microservices keep what is wrong: RpcException and BaseRpcExceptionFilter', async () => {
    @Catch()
    class All extends BaseRpcExceptionFilter {}
    const Handler = handlerWith(new All(), () => new RpcException('no stock'));
    const app = await start({ providers: [Handler] }, { retry: { attempts: 1, delay: 1 } });
    await app.get(EventService).emit('user.created', 1);
    expect(await deadLetter(app)).toMatchObject({
      reason: 'attempts_exhausted',
      error: { type: 'RpcException', message: 'no stock' },
    });
  });

  it('do not make a final failure one that is retried, when they only answer', async () => {
    @Catch()
    class All extends BaseRpcExceptionFilter {}
    const Handler = handlerWith(new All(), () => new NonRetryableError('never'));
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', 1);
    expect(await deadLetter(app)).toMatchObject({ reason: 'non_retryable', attempts: 1 });
  });

  it('see what guards and pipes throw, as it was thrown', async () => {
    @Catch(UnauthorizedException)
    class Unauthorized implements ExceptionFilter {
      catch(error: UnauthorizedException): Observable<string> {
        received.add(error.message);
        return of('settled');
      }
    }
    @Injectable()
    @UseFilters(Unauthorized)
    @UseGuards({
      canActivate: () => {
        throw new UnauthorizedException('who?');
      },
    })
    class Handler {
      @OnEvent('user.created')
      handle(): void {
        received.add('handled');
      }
    }
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual(['who?']);
    await eventually(
      async () => app.get(EventService).status.subscriptions[0]?.succeeded,
      (succeeded) => succeeded === 1,
      () => 'the filter did not settle it',
    );
  });

  it('of the method come before those of the class', async () => {
    const naming = (name: string): ExceptionFilter => {
      @Catch()
      class Named implements ExceptionFilter {
        catch(): Observable<string> {
          received.add(name);
          return of(name);
        }
      }
      return new Named();
    };
    @Injectable()
    @UseFilters(naming('class'))
    class Handler {
      @UseFilters(naming('method'))
      @OnEvent('user.created')
      handle(): void {
        throw new Error('no');
      }
    }
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual(['method']);
  });
});

describe('a class that is also a controller for requests', () => {
  it('keeps its enhancers for both, and they can tell which it is', async () => {
    @Injectable()
    class OnlyEvents implements CanActivate {
      canActivate(host: ExecutionContext): boolean {
        return host.getType<string>() === 'event';
      }
    }
    @UseGuards(OnlyEvents)
    @Injectable()
    class Handler {
      @OnEvent('user.created')
      handle(): void {
        received.add('handled');
      }
    }
    const app = await start({ controllers: [Handler] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual(['handled']);
  });
});
