import {
  Controller,
  Inject,
  Injectable,
  Scope,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
  ValidationPipe,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_GUARD, NestFactory, REQUEST } from '@nestjs/core';
import {
  BaseRpcExceptionFilter,
  Ctx,
  EventPattern,
  MessagePattern,
  NatsContext,
  Payload,
  RpcException,
  Transport,
  type RequestContext,
} from '@nestjs/microservices';
import {
  DeadLetterService,
  EventsConfigurationError,
  EventService,
  EventsModule,
  EventsStrategy,
  NonRetryableError,
  type EventContext,
  type EventsModuleOptions,
} from '@venta/events';
import type { EventsStrategyOptions } from '../../lib/nest/bridge/events-strategy';
import { IsInt } from 'class-validator';
import { defer, tap, type Observable } from 'rxjs';
import { Collector, eventually } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';

const { compile, compileBare, logger } = applications();

let received: Collector<unknown>;
beforeEach(() => {
  received = new Collector('received');
});

/** An application with HTTP, whose controllers the strategy serves. */
async function hybrid(
  metadata: Parameters<typeof compile>[0],
  strategy: EventsStrategy = new EventsStrategy(),
  options?: Parameters<typeof compile>[1],
): Promise<INestApplication> {
  const app = (await compile(metadata, options)).createNestApplication();
  app.connectMicroservice({ strategy });
  await app.startAllMicroservices();
  await app.init();
  return app;
}

class Tracing implements NestInterceptor {
  intercept(host: ExecutionContext, next: CallHandler): Observable<unknown> {
    received.add(`before ${host.getType()}`);
    return next.handle().pipe(tap(() => received.add('after')));
  }
}

describe('EventsStrategy', () => {
  it('serves existing controllers unchanged, with all that is around their methods', async () => {
    class Created {
      @IsInt() id!: number;
    }
    @UseInterceptors(Tracing)
    @UseFilters(BaseRpcExceptionFilter)
    @Controller()
    class Users {
      @UsePipes(new ValidationPipe({ transform: true }))
      @EventPattern('user.created')
      created(@Payload() user: Created, @Ctx() context: NatsContext): void {
        const headers = context.getHeaders() as { get(key: string): string };
        received.add([
          user instanceof Created,
          context.getSubject(),
          headers.get('x-tenant'),
          context instanceof NatsContext,
        ]);
      }
    }
    const app = await hybrid({ controllers: [Users] });
    await app.get(EventService).emit('user.created', { id: 1 }, { headers: { 'x-tenant': 't1' } });
    expect(await received.atLeast(3)).toEqual(['before rpc', [true, 'user.created', 't1', true], 'after']);
    await app.close();
  });

  it('gives each method a durable of its own: one that fails neither blocks nor repeats another', async () => {
    @Controller()
    class Users {
      @EventPattern('user.created')
      fine(@Payload() id: number): void {
        received.add(['fine', id]);
      }
      @EventPattern(['user.created', 'user.deleted'])
      flaky(@Payload() id: number, context: EventContext): void {
        received.add(['flaky', id, context.attempt]);
        if (context.attempt === 1) throw new Error('once');
      }
    }
    const app = await hybrid({ controllers: [Users] });
    await app.get(EventService).emit('user.created', 1);
    expect([...(await received.atLeast(3))].sort()).toEqual([
      ['fine', 1],
      ['flaky', 1, 1],
      ['flaky', 1, 2],
    ]);
    expect(app.get(EventService).status.subscriptions).toMatchObject([
      { name: 'Users.fine', patterns: ['user.created'] },
      { name: 'Users.flaky', patterns: ['user.created', 'user.deleted'] },
    ]);
    await app.close();
  });

  it('makes dead letters that say what the handler said', async () => {
    @Controller()
    class Users {
      @EventPattern('user.never')
      never(): void {
        throw new NonRetryableError('never');
      }
      @EventPattern('user.exception')
      exception(): Observable<never> {
        return defer(async () => {
          throw new RpcException('no stock');
        });
      }
    }
    const app = await hybrid({ controllers: [Users] }, undefined, {
      retry: { attempts: 1, delay: 1, jitter: 0 },
    });
    await app.get(EventService).emit('user.never', 1);
    await app.get(EventService).emit('user.exception', 1);
    const { items } = await eventually(
      () => app.get(DeadLetterService).list(),
      ({ items: letters }) => letters.length === 2,
      ({ items: letters }) => `there are ${letters.length}`,
    );
    expect(items.map(({ event, attempts, error }) => [event, attempts, error.message]).sort()).toEqual([
      ['user.exception', 2, 'no stock'],
      ['user.never', 1, 'never'],
    ]);
    await app.close();
  });

  it('makes request-scoped controllers for each event, whose REQUEST is that of a microservice', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Guard implements CanActivate {
      canActivate(): boolean {
        return true;
      }
    }
    @UseGuards(Guard)
    @Controller()
    class Users {
      constructor(@Inject(REQUEST) private readonly request: RequestContext<unknown, NatsContext>) {}
      @EventPattern('user.*')
      created(): void {
        received.add([
          this.request.getPattern(),
          this.request.getData(),
          this.request.getContext().getSubject(),
        ]);
      }
    }
    const app = await hybrid({ controllers: [Users] });
    await app.get(EventService).emit('user.created', 7);
    expect(await received.atLeast(1)).toEqual([['user.created', 7, 'user.created']]);
    await app.close();
  });

  it('takes patterns that begin with the cluster for the events they mean, and options for its handlers', async () => {
    @Controller()
    class Users {
      @EventPattern('events.user.created')
      created(): void {
        received.add('handled');
        throw new Error('always');
      }
    }
    const strategy = new EventsStrategy({ prefix: 'events.', handlers: { retry: { attempts: 0 } } });
    const app = await hybrid({ controllers: [Users] }, strategy);
    await app.get(EventService).emit('user.created', 1);
    await eventually(
      () => app.get(DeadLetterService).count(),
      (counts) => counts.length === 1,
      () => 'there is no dead letter',
    );
    expect(received.items).toEqual(['handled']);
    await app.close();
  });

  it('leaves to other transports what is theirs, and says what it does not serve', async () => {
    @Controller()
    class Users {
      @EventPattern('user.created', Transport.NATS)
      nats(): void {
        received.add('nats');
      }
      @EventPattern('user.created')
      any(): void {
        received.add('any');
      }
      @MessagePattern('user.find')
      find(): void {}
    }
    const strategy = new EventsStrategy();
    strategy.setTransportId(Symbol('events'));
    const app = await hybrid({ controllers: [Users] }, strategy);
    expect(app.get(EventService).status.subscriptions.map(({ name }) => name)).toEqual(['Users.any']);
    expect(logger.text).toMatch(/@MessagePattern\("user\.find"\) needs a transport of Nest's/);
    await app.close();
  });

  it('says nothing of requests where another transport serves them', async () => {
    @Controller()
    class Users {
      @MessagePattern('user.find')
      find(): void {}
    }
    const app = (await compile({ controllers: [Users] })).createNestApplication();
    app.connectMicroservice({ strategy: new EventsStrategy() });
    app.connectMicroservice({ transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } });
    await app.startAllMicroservices();
    expect(logger.text).not.toMatch(/MessagePattern/);
    await app.close();
  });

  it.each<[string, EventsStrategyOptions, Partial<EventsModuleOptions>, boolean]>([
    ['said nothing', {}, {}, true],
    ['said no', { globalEnhancers: false }, {}, false],
    ['said yes', { globalEnhancers: true }, {}, false],
    ['said yes in the module', {}, { globalEnhancers: true }, false],
  ])(
    'tells that guards of an application with HTTP do not apply, if it %s',
    async (_title, own, options, told) => {
      class Allowed implements CanActivate {
        canActivate(): boolean {
          return true;
        }
      }
      @Controller()
      class Users {
        @EventPattern('user.created')
        created(): void {}
      }
      const providers = [{ provide: APP_GUARD, useClass: Allowed }];
      const app = await hybrid({ controllers: [Users], providers }, new EventsStrategy(own), options);
      const warned =
        /guards of the whole application do not apply .* EventsStrategy.* `globalEnhancers: true`/;
      expect(warned.test(logger.text)).toBe(told);
      await app.close();
    },
  );

  it('does not start with two methods of one name, and says what to rename', async () => {
    const usersOf = (pattern: string) => {
      @Controller()
      class Users {
        @EventPattern(pattern)
        created(): void {}
      }
      return Users;
    };
    await expect(
      hybrid({ controllers: [usersOf('user.created'), usersOf('account.created')] }),
    ).rejects.toMatchObject({
      code: 'invalid_configuration',
      message: expect.stringMatching(
        /two @EventPattern methods are called 'Users\.created'.*user\.created.*account\.created.*rename one/,
      ) as string,
    });
  });

  it('is also a provider, for microservices that have nothing else', async () => {
    @Controller()
    class Users {
      @EventPattern('user.created')
      created(@Payload() id: number): void {
        received.add(id);
      }
    }
    const app = await compile({ controllers: [Users] });
    const microservice = app.createNestMicroservice({ strategy: app.get(EventsStrategy) });
    microservice.useGlobalInterceptors(new Tracing());
    await microservice.listen();
    await microservice.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(3)).toEqual(['before rpc', 1, 'after']);
    await microservice.close();
    expect(app.get(EventService).status.state).toBe('closed');
  });

  it('stops its handlers when it is closed, while the application goes on', async () => {
    @Controller()
    class Users {
      @EventPattern('user.created')
      created(): void {
        received.add('handled');
      }
    }
    const strategy = new EventsStrategy();
    const app = await hybrid({ controllers: [Users] }, strategy);
    await strategy.close();
    expect(app.get(EventService).status).toMatchObject({ state: 'running', subscriptions: [] });
    await app.close();
  });

  it('does not start without the module, and says so', async () => {
    const app = (await compileBare({})).createNestApplication();
    app.connectMicroservice({ strategy: new EventsStrategy() });
    const error = await app.startAllMicroservices().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EventsConfigurationError);
    expect((error as Error).message).toMatch(/import `EventsModule\.register/);
    await app.close();
  });

  it('does not start with a pattern that is not text, and names the method', async () => {
    @Controller()
    class Users {
      @EventPattern({ cmd: 'user' })
      created(): void {}
    }
    await expect(hybrid({ controllers: [Users] })).rejects.toThrow(
      /Users\.created listens to \{"cmd":"user"\}/,
    );
  });

  it('is created by NestFactory.createMicroservice, too', async () => {
    @Controller()
    class Users {
      @EventPattern('user.created')
      created(@Payload() id: number): void {
        received.add(id);
      }
    }
    class AppModule {}
    const app = await NestFactory.createMicroservice(
      {
        module: AppModule,
        imports: [EventsModule.register({ appName: 'shop', url: 'memory://' })],
        controllers: [Users],
      },
      { strategy: new EventsStrategy(), logger },
    );
    await app.listen();
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([1]);
    await app.close();
  });
});
