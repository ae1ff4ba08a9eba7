import { Inject, Injectable, Module, Scope, UseInterceptors, type NestInterceptor } from '@nestjs/common';
import {
  ContextIdFactory,
  LazyModuleLoader,
  REQUEST,
  type ContextId,
  type ContextIdStrategy,
  type HostComponentInfo,
} from '@nestjs/core';
import { EventService, EventsConfigurationError, OnEvent, type EventContext } from '@venta/events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';

const { start, compile } = applications();

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

describe('what is made for an event', () => {
  it('is released with it: 100,000 events leave nothing behind', async () => {
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
      handle(): void {
        if (++handled % 1000 !== 0) return;
        living.add(new WeakRef(this));
        received.add(handled);
      }
    }
    let handled = 0;
    // Ephemeral, so that the broker keeps nothing either.
    const app = await start({ providers: [Handler, Transient] }, { delivery: 'ephemeral' });
    const service = app.get(EventService);
    const heaps: number[] = [];
    for (let thousands = 1; thousands <= 100; thousands++) {
      // Few at once: instances that live through a collection make it dear.
      for (let tens = 0; tens < 20; tens++) {
        await Promise.all(Array.from({ length: 50 }, () => service.emit('user.created', 1)));
      }
      await received.atLeast(thousands);
      if (thousands % 10 > 0) continue;
      collect();
      heaps.push(process.memoryUsage().heapUsed);
    }
    const alive = [...living].filter((each) => each.deref() !== undefined).length;
    expect(alive).toBeLessThanOrEqual(2);
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
});
