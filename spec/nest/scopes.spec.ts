import { Inject, Injectable, Module, Scope, UseInterceptors, type NestInterceptor } from '@nestjs/common';
import {
  ContextIdFactory,
  LazyModuleLoader,
  ModuleRef,
  REQUEST,
  type ContextId,
  type ContextIdStrategy,
  type HostComponentInfo,
} from '@nestjs/core';
import {
  DeadLetterService,
  EventsError,
  EventService,
  EventsConfigurationError,
  OnEvent,
  type EventContext,
} from '@venta/events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Collector, eventually } from '../../lib/testing/conformance/collector';
import { createMemoryTransport } from '../../lib/transports/memory';
import { applications } from '../support/applications';
import { silentLogger } from '../support/silent-logger';

const { start, compile, logger } = applications();

let received: Collector<unknown>;
beforeEach(() => {
  received = new Collector('received');
});

describe('durable providers', () => {
  const tenants = new Map<string, ContextId>();
  const byTenant: ContextIdStrategy = {
    attach: (contextId, request: EventContext) => {
      const tenantId = request.headers['x-tenant'] ?? 'none';
      const tenant = tenants.get(tenantId) ?? ContextIdFactory.create();
      tenants.set(tenantId, tenant);
      return {
        resolve: (info: HostComponentInfo) => (info.isTreeDurable ? tenant : contextId),
        payload: { tenantId },
      };
    },
  };
  beforeAll(() => ContextIdFactory.apply(byTenant));
  // Nest keeps it for the whole process, and has no way to take it back.
  afterAll(() => ContextIdFactory.apply(undefined as unknown as ContextIdStrategy));

  it('are made once a tenant, and receive what the strategy gives for it', async () => {
    let made = 0;
    @Injectable({ scope: Scope.REQUEST, durable: true })
    class PerTenant {
      readonly number = ++made;
      constructor(@Inject(REQUEST) readonly request: { tenantId: string }) {}
      @OnEvent('user.created')
      handle(_: unknown, { headers }: EventContext): void {
        received.add([this.request.tenantId, headers['x-tenant'], this.number]);
      }
    }
    const app = await start({ providers: [PerTenant] }, { concurrency: 1 });
    for (const tenant of ['a', 'b', 'a']) {
      await app.get(EventService).emit('user.created', 1, { headers: { 'x-tenant': tenant } });
    }
    expect(await received.atLeast(3)).toEqual([
      ['a', 'a', 1],
      ['b', 'b', 2],
      ['a', 'a', 1],
    ]);
  });
});

describe('what a ContextIdStrategy gives for an event', () => {
  let payload: Record<string, unknown>;
  const giving: ContextIdStrategy = { attach: (contextId) => ({ resolve: () => contextId, payload }) };
  beforeAll(() => ContextIdFactory.apply(giving));
  afterAll(() => ContextIdFactory.apply(undefined as unknown as ContextIdStrategy));

  @Injectable({ scope: Scope.REQUEST })
  class Handler {
    constructor(@Inject(REQUEST) readonly request: EventContext & { tenantId?: string }) {}
    @OnEvent('user.created')
    handle(_: unknown, { attempt }: EventContext): void {
      received.add([this.request.name, this.request.tenantId, attempt]);
      if (attempt === 1) throw new Error('not yet');
    }
  }

  it('is joined to the REQUEST of each attempt', async () => {
    payload = { tenantId: 'a' };
    const app = await start({ providers: [Handler] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(2)).toEqual([
      ['user.created', 'a', 1],
      ['user.created', 'a', 2],
    ]);
  });

  it.each(['source', 'data', 'signal'])(
    'fails the handler, with the name of it, when it has the %s of the event',
    async (key) => {
      payload = { tenantId: 'a', [key]: 'mine' };
      const app = await start({ providers: [Handler] }, { retry: { attempts: 0 } });
      await app.get(EventService).emit('user.created', 1);
      await logger.until('error', new RegExp(`payload of the ContextIdStrategy has '${key}'`));
      const { items } = await eventually(
        () => app.get(DeadLetterService).list(),
        ({ items: letters }) => letters.length > 0,
        () => 'there is no dead letter',
      );
      expect(items[0]?.error).toEqual({
        type: 'EventsConfigurationError',
        message: expect.stringContaining(`has '${key}', which an event has itself`) as string,
      });
      expect(received.items).toEqual([]);
    },
  );
});

describe('a request-scoped class', () => {
  it('resolves what belongs to its event by the REQUEST it was made for', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Unit {
      constructor(@Inject(REQUEST) readonly request: EventContext) {}
    }
    @Injectable({ scope: Scope.REQUEST })
    class Handler {
      constructor(
        @Inject(REQUEST) readonly request: EventContext,
        readonly unit: Unit,
        readonly moduleRef: ModuleRef,
      ) {}
      @OnEvent('user.created')
      async handle(event: unknown): Promise<void> {
        const contextId = ContextIdFactory.getByRequest(this.request as unknown as Record<string, unknown>);
        const unit = await this.moduleRef.resolve(Unit, contextId);
        received.add([event, unit === this.unit, unit.request === this.request]);
      }
    }
    const app = await start({ providers: [Handler, Unit] }, { concurrency: 1 });
    for (const event of [1, 2]) await app.get(EventService).emit('user.created', event);
    expect(await received.atLeast(2)).toEqual([
      [1, true, true],
      [2, true, true],
    ]);
  });

  it('made by a factory fails the start, for it would handle nothing', async () => {
    @Injectable()
    class Made {
      constructor(readonly request: unknown) {}
      @OnEvent('user.created')
      handle(): void {}
    }
    @Module({
      providers: [{ provide: Made, useFactory: (request: unknown) => new Made(request), inject: [REQUEST] }],
    })
    class MadeModule {}
    const starting = start({ imports: [MadeModule] });
    await expect(starting).rejects.toThrow(EventsConfigurationError);
    await expect(starting).rejects.toThrow(
      /Made\.handle of module MadeModule .* a factory makes Made .*`providers: \[Made\]`/,
    );
  });

  it('made by a factory is none of our business without handlers', async () => {
    @Injectable()
    class Made {}
    const made = { provide: Made, useFactory: () => new Made(), scope: Scope.REQUEST };
    const app = await start({ providers: [made] });
    expect(app.get(EventService).status.subscriptions).toEqual([]);
  });
});

describe('what is made for an event', () => {
  it('is released with it, failures and retries included: 100,000 events leave nothing behind', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const living = new Set<WeakRef<object>>();

    @Injectable({ scope: Scope.REQUEST })
    class Interceptor implements NestInterceptor {
      intercept: NestInterceptor['intercept'] = (_, next) => next.handle();
    }
    @Injectable({ scope: Scope.TRANSIENT })
    class Transient {
      readonly bulk = new Array<number>(100).fill(1);
    }
    @Injectable({ scope: Scope.REQUEST })
    class Handler {
      readonly bulk = new Array<number>(100).fill(1);
      constructor(
        @Inject(REQUEST) readonly request: EventContext,
        readonly transient: Transient,
      ) {}
      @UseInterceptors(Interceptor)
      @OnEvent('user.created')
      handle(number: number, context: EventContext): void {
        if (number % 500 === 0) {
          for (const each of [this, context, context.signal]) living.add(new WeakRef(each));
          if (context.attempt === 1) throw new Error('the first attempt fails');
        }
        if (++handled % 1000 === 0) received.add(handled);
      }
    }
    let handled = 0;
    let emitted = 0;
    // Ephemeral, so that the broker keeps nothing either.
    const app = await start({ providers: [Handler, Transient] }, { delivery: 'ephemeral' });
    const service = app.get(EventService);
    const heaps: number[] = [];
    const timers: number[] = [];
    const listeners: number[] = [];
    for (let thousands = 1; thousands <= 100; thousands++) {
      // Few at once: instances that live through a collection make it dear.
      for (let tens = 0; tens < 20; tens++) {
        await Promise.all(Array.from({ length: 50 }, () => service.emit('user.created', emitted++)));
      }
      await received.atLeast(thousands);
      if (thousands % 10 > 0) continue;
      collect();
      heaps.push(process.memoryUsage().heapUsed);
      timers.push(process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length);
      listeners.push(process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0));
    }
    const alive = [...living].filter((each) => each.deref() !== undefined).length;
    const [counted] = await eventually(
      async () => service.status.subscriptions,
      ([each]) => each?.running === 0,
      () => 'the last event has not ended',
    );
    expect(counted).toMatchObject({ succeeded: 100_000, retried: 200, deadLettered: 0 });
    // The last event's are still at hand.
    expect(alive).toBeLessThanOrEqual(6);
    // One of the test's own may be among them.
    expect(timers[9]).toBeLessThanOrEqual((timers[0] as number) + 1);
    expect(listeners[9]).toBe(listeners[0]);
    // 80,000 events whose instances stayed would be 100 MB and more.
    expect((heaps[9] as number) - (heaps[1] as number)).toBeLessThan(8 * 1024 * 1024);
  }, 300_000);
});

describe('modules that are loaded lazily', () => {
  @Injectable()
  class Late {
    @OnEvent('user.created')
    handle(event: unknown): void {
      received.add(['late', event]);
    }
  }
  @Injectable({ scope: Scope.REQUEST })
  class LateScoped {
    @OnEvent('user.created')
    handle(event: unknown): void {
      received.add(['scoped', event]);
    }
  }
  @Module({ providers: [LateScoped] })
  class ImportedModule {}
  @Module({ imports: [ImportedModule], providers: [Late] })
  class LateModule {}

  it('bring their handlers, and those of what they import, when they are loaded', async () => {
    const app = await start({});
    const loader = app.get(LazyModuleLoader);
    await loader.load(() => LateModule);
    await loader.load(() => LateModule); // again: nothing new
    await app.get(EventService).emit('user.created', 1);
    expect([...(await received.atLeast(2))].sort()).toEqual([
      ['late', 1],
      ['scoped', 1],
    ]);
  });

  it('bring them at the start when they are loaded before it', async () => {
    @Injectable()
    class Loader {
      constructor(private readonly loader: LazyModuleLoader) {}
      async onModuleInit(): Promise<void> {
        await this.loader.load(() => LateModule);
      }
    }
    const app = await start({ providers: [Loader] });
    await app.get(EventService).emit('user.created', 2);
    expect([...(await received.atLeast(2))].sort()).toEqual([
      ['late', 2],
      ['scoped', 2],
    ]);
  });

  it('bring them when they are loaded at the same time, or while the application starts', async () => {
    let release = (): void => undefined;
    const slow = new Promise<void>((resolve) => (release = resolve));
    @Module({ imports: [ImportedModule], providers: [{ provide: 'SLOW', useFactory: () => slow }, Late] })
    class SlowModule {}
    const app = await compile({});
    const loading = app.get(LazyModuleLoader).load(() => SlowModule);
    await app.init();
    expect(app.get(EventService).status.subscriptions).toEqual([]);
    release();
    await loading;
    expect(
      app
        .get(EventService)
        .status.subscriptions.map(({ name }) => name)
        .sort(),
    ).toEqual(['Late.handle', 'LateScoped.handle']);
  });

  it('fail to load when a handler of theirs has the identity of another', async () => {
    const app = await start({ providers: [Late] });
    const loading = app.get(LazyModuleLoader).load(() => LateModule);
    await expect(loading).rejects.toThrow(EventsConfigurationError);
    await expect(loading).rejects.toThrow(/two handlers have the identity 'Late\.handle'/);
  });

  it('fail to load again, as the first time, while the identity is taken', async () => {
    @Injectable()
    class Other {
      @OnEvent('user.deleted')
      first(): void {}
      @OnEvent('user.created', { name: 'Late.handle' })
      second(): void {}
    }
    @Module({ providers: [Other] })
    class OtherModule {}
    const app = await start({ providers: [Late] });
    const loader = app.get(LazyModuleLoader);
    for (let each = 0; each < 3; each++) {
      await expect(loader.load(() => OtherModule)).rejects.toThrow(
        /two handlers have the identity 'Late\.handle'/,
      );
    }
    expect(app.get(EventService).status.subscriptions.map(({ name }) => name)).toEqual(['Late.handle']);
  });

  it('load after the event service has stopped, if they have no handlers', async () => {
    @Module({ providers: [{ provide: 'plain', useValue: 1 }] })
    class PlainModule {}
    const app = await start({});
    await app.get(EventService).drain();
    const loaded = await app.get(LazyModuleLoader).load(() => PlainModule);
    expect(loaded.get('plain')).toBe(1);
    await expect(app.get(LazyModuleLoader).load(() => LateModule)).rejects.toThrow(
      /cannot subscribe 'Late.*': the event service is draining or closed/,
    );
  });

  it('fail to load again, as the first time, while a factory makes a class with handlers', async () => {
    @Injectable()
    class Made {
      @OnEvent('user.created')
      handle(): void {}
    }
    @Module({ providers: [{ provide: Made, useFactory: () => new Made(), scope: Scope.REQUEST }] })
    class MadeModule {}
    const app = await start({});
    for (let each = 0; each < 2; each++) {
      await expect(app.get(LazyModuleLoader).load(() => MadeModule)).rejects.toThrow(/a factory makes Made/);
    }
  });

  it('are bound when they are loaded again after the broker refused a handler; what was bound stays bound', async () => {
    const transport = createMemoryTransport({
      clusterId: 'events',
      delivery: 'durable',
      logger: silentLogger,
    });
    const subscribe = transport.subscribe.bind(transport);
    const asked: string[] = [];
    transport.subscribe = (spec, consumer) => {
      asked.push(spec.handler);
      const refused =
        spec.handler === 'Late.handle' && asked.filter((each) => each === spec.handler).length === 1;
      if (refused) throw new EventsError('permission_denied', 'not yet');
      return subscribe(spec, consumer);
    };
    const app = await start({}, { transport });
    const service = app.get(EventService);
    const loader = app.get(LazyModuleLoader);
    const bound = (): string[] => service.status.subscriptions.map(({ name }) => name).sort();

    await expect(loader.load(() => LateModule)).rejects.toThrow(/not yet/);
    expect(bound()).toEqual(['LateScoped.handle']);
    await service.emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([['scoped', 1]]);

    await loader.load(() => LateModule);
    await loader.load(() => LateModule); // again: nothing new
    expect(bound()).toEqual(['Late.handle', 'LateScoped.handle']);
    expect(asked.sort()).toEqual(['Late.handle', 'Late.handle', 'LateScoped.handle']);
    await service.emit('user.created', 2);
    expect([...(await received.atLeast(4))].sort()).toEqual([
      ['late', 1], // 'new' is since the service connected, not since the handler was bound
      ['late', 2],
      ['scoped', 1],
      ['scoped', 2],
    ]);
  });
});
