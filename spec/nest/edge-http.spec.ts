import 'reflect-metadata';
import { AsyncLocalStorage } from 'node:async_hooks';
import {
  Body,
  Controller,
  Get,
  Injectable,
  Module,
  Param,
  Post,
  RequestMethod,
  UseGuards,
  VersioningType,
  type CanActivate,
  type INestApplication,
  type MiddlewareConsumer,
  type ModuleMetadata,
  type NestModule,
} from '@nestjs/common';
import { AbstractHttpAdapter, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { EventsModule, EventService, OnEvent, type EventsModuleOptions } from '@venta/events';
import { ClsModule, ClsServiceManager } from 'nestjs-cls';
import { Collector } from '../../lib/testing/conformance/collector';
import { Gate } from '../../lib/testing/conformance/gate';
import { AllWarnings } from '../support/all-warnings';
import { sharedMemory } from '../support/shared-memory';

jest.setTimeout(30_000);

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const TRACE = {
  traceparent: `00-${TRACE_ID}-b7ad6b7169203331-01`,
  tracestate: 'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7',
  baggage: 'userId=am%C3%A9lie,tier=gold',
};
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

const memory = sharedMemory();

const open: INestApplication[] = [];
let logger: AllWarnings;
beforeEach(() => (logger = new AllWarnings()));
afterEach(async () => {
  for (const app of open.splice(0)) await app.close();
});

const ADAPTERS: [string, () => AbstractHttpAdapter][] = [
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
];

interface Served {
  readonly app: INestApplication;
  readonly request: (path: string, init?: RequestInit) => Promise<Response>;
}

async function serve(
  adapter: AbstractHttpAdapter,
  metadata: ModuleMetadata,
  options: Partial<EventsModuleOptions> = {},
  configure: (app: INestApplication) => void = () => {},
): Promise<Served> {
  @Module({
    ...metadata,
    imports: [
      ...(metadata.imports ?? []),
      EventsModule.register({ appName: 'shop', url: memory.url, ...options }),
    ],
  })
  class AppModule {}

  const app = await NestFactory.create(AppModule, adapter, { logger, abortOnError: false });
  open.push(app);
  configure(app);
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  return {
    app,
    request: async (path, init) => {
      const response = await fetch(`${url}${path}`, init);
      await response.arrayBuffer();
      return response;
    },
  };
}

@Controller('users')
class Users {
  constructor(private readonly events: EventService) {}

  @Get(':name')
  async get(@Param('name') name: string): Promise<void> {
    await this.events.emit('user.read', name);
  }

  @Post()
  async post(@Body() body: { name: string; headers?: Record<string, string>; correlationId?: string }) {
    const { name, headers, correlationId } = body;
    await this.events.emit('user.created', name, {
      ...(headers && { headers }),
      ...(correlationId && { correlationId }),
    });
  }
}

const post = (body: object, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
});

/** What the stored events carry, by their data. */
const stored = (): Map<unknown, Readonly<Record<string, string>>> =>
  new Map(memory.events().map(({ body, headers }) => [JSON.parse(Buffer.from(body).toString()), headers]));

const correlationOf = (data: unknown): string | undefined => stored().get(data)?.['ce-correlationid'];

describe.each(ADAPTERS)('events that are emitted for an HTTP request, with %s,', (_name, adapter) => {
  it('inherit its correlation id and trace, with and without a body', async () => {
    const { request } = await serve(adapter(), { controllers: [Users] });
    const headers = { 'x-correlation-id': 'case 7', ...TRACE };

    expect((await request('/users/read', { headers })).status).toBe(200);
    expect((await request('/users', post({ name: 'created' }, headers))).status).toBe(201);

    for (const data of ['read', 'created']) {
      const { 'ce-correlationid': id, 'ce-causationid': cause, ...others } = stored().get(data)!;
      expect([id, cause]).toEqual(['case%207', undefined]);
      expect(others).toMatchObject(TRACE);
    }
    expect(logger.warnings).toEqual([]);
  });

  it.each<[string, Record<string, string>, string | RegExp]>([
    ['x-correlation-id, before all', { 'x-correlation-id': 'a', 'x-request-id': 'b', ...TRACE }, 'a'],
    ['x-request-id', { 'x-request-id': 'b', ...TRACE }, 'b'],
    ['the trace id', TRACE, TRACE_ID],
    ['what is valid: an id too long', { 'x-correlation-id': 'x'.repeat(257), 'x-request-id': 'b' }, 'b'],
    ['what is valid: no id at all', { 'x-correlation-id': ' ', 'x-request-id': 'b' }, 'b'],
    ['what is valid: control characters', { 'x-correlation-id': 'a\x85', 'x-request-id': 'b' }, 'b'],
    ['the longest id', { 'x-correlation-id': 'x'.repeat(256) }, 'x'.repeat(256)],
    ['their own id if there is nothing', {}, UUID],
    ['their own id if nothing is valid', { 'x-request-id': 'a\tb', traceparent: 'no' }, UUID],
  ])('are correlated by %s', async (_title, headers, expected) => {
    const { request } = await serve(adapter(), { controllers: [Users] });

    await request('/users', post({ name: 'created' }, headers));

    expect(correlationOf('created')).toEqual(
      typeof expected === 'string' ? expected : expect.stringMatching(expected),
    );
  });

  it.each<[string, Record<string, string>, Record<string, string>]>([
    ['a malformed parent, and its state', { ...TRACE, traceparent: '00-own' }, { baggage: TRACE.baggage }],
    ['a trace id of zeros', { traceparent: `00-${'0'.repeat(32)}-b7ad6b7169203331-01` }, {}],
    ['a span id of zeros', { traceparent: `00-${TRACE_ID}-${'0'.repeat(16)}-01` }, {}],
    ['version ff', { traceparent: `ff-${TRACE_ID}-b7ad6b7169203331-01` }, {}],
    [
      'a state that is too long',
      { traceparent: TRACE.traceparent, tracestate: `a=${'x'.repeat(511)}` },
      { traceparent: TRACE.traceparent },
    ],
    ['baggage that is too long', { baggage: `a=${'x'.repeat(8191)}` }, {}],
    ['baggage that is not ASCII', { baggage: 'a=é' }, {}],
  ])('do not inherit %s', async (_title, headers, expected) => {
    const { request } = await serve(adapter(), { controllers: [Users] });

    expect((await request('/users', post({ name: 'created' }, headers))).status).toBe(201);

    const { traceparent, tracestate, baggage } = stored().get('created')!;
    const inherited = Object.entries({ traceparent, tracestate, baggage }).filter(([, value]) => value);
    expect(Object.fromEntries(inherited)).toEqual(expected);
  });

  it('go out without the baggage of strangers if their own headers leave no room for it', async () => {
    const { request } = await serve(adapter(), { controllers: [Users] });
    const headers = { own: 'x'.repeat(10_000) };
    const { traceparent } = TRACE;

    const response = await request(
      '/users',
      post({ name: 'created', headers }, { traceparent, baggage: `a=${'x'.repeat(8190)}` }),
    );

    expect(response.status).toBe(201);
    expect(stored().get('created')).toMatchObject(headers);
    expect(stored().get('created')).not.toHaveProperty('baggage');
  });

  it('keep what is given explicitly', async () => {
    const { request } = await serve(adapter(), { controllers: [Users] });
    const given = { name: 'created', correlationId: 'own', headers: { traceparent: '00-own' } };

    await request('/users', post(given, { 'x-correlation-id': 'edge', ...TRACE }));

    expect(correlationOf('created')).toBe('own');
    expect(stored().get('created')).toMatchObject({ ...TRACE, traceparent: '00-own' });
  });

  it('inherit under a global prefix, outside of it, and with a version', async () => {
    @Controller({ path: 'orders', version: '2' })
    class Orders {
      constructor(private readonly events: EventService) {}
      @Post()
      async place(@Body() { name }: { name: string }): Promise<void> {
        await this.events.emit('order.placed', name);
      }
    }
    @Controller('health')
    class Health {
      constructor(private readonly events: EventService) {}
      @Post(':part')
      async check(@Body() { name }: { name: string }): Promise<void> {
        await this.events.emit('health.checked', name);
      }
    }
    const { request } = await serve(adapter(), { controllers: [Users, Orders, Health] }, {}, (app) => {
      app.setGlobalPrefix('api', { exclude: [{ path: 'health/:part', method: RequestMethod.ALL }] });
      app.enableVersioning({ type: VersioningType.URI });
    });
    const paths = ['/api/users', '/api/v2/orders', '/health/disk'];

    for (const path of paths) {
      const response = await request(path, post({ name: path }, { 'x-correlation-id': `case of ${path}` }));
      expect([path, response.status]).toEqual([path, 201]);
    }

    expect(paths.map((path) => decodeURIComponent(correlationOf(path)!))).toEqual(
      paths.map((path) => `case of ${path}`),
    );
    expect(logger.warnings).toEqual([]);
  });

  it('do not mix with those of requests that run at the same time, or came before on the same connection', async () => {
    const arrived = new Collector<string>('requests');
    const gate = new Gate();
    @Controller('orders')
    class Orders {
      constructor(private readonly events: EventService) {}
      @Post()
      async place(@Body() { name }: { name: string }): Promise<void> {
        arrived.add(name);
        await gate.opened;
        await this.events.emit('order.placed', name);
        setImmediate(() => void this.events.emit('order.confirmed', `${name} later`));
      }
    }
    const { request } = await serve(adapter(), { controllers: [Orders] });
    const names = Array.from({ length: 10 }, (_, i) => `order ${i}`);

    const requests = names.map((name) => request('/orders', post({ name }, { 'x-correlation-id': name })));
    await arrived.atLeast(names.length);
    gate.open();
    await Promise.all(requests);
    await request('/orders', post({ name: 'without' }));
    await later(() => memory.events().length === 2 * names.length + 2);

    for (const name of names) {
      expect(correlationOf(name)).toBe(encodeURIComponent(name));
      expect(correlationOf(`${name} later`)).toBe(encodeURIComponent(name));
    }
    expect(correlationOf('without')).toMatch(UUID);
  });

  it('inherit in guards and in the middleware of other modules', async () => {
    @Injectable()
    class Guard implements CanActivate {
      constructor(private readonly events: EventService) {}
      async canActivate(): Promise<boolean> {
        await this.events.emit('seen.guard', 'guard');
        return true;
      }
    }
    @Controller('orders')
    @UseGuards(Guard)
    class Orders {
      @Get()
      list(): void {}
    }
    @Module({ controllers: [Orders] })
    class OrdersModule implements NestModule {
      constructor(private readonly events: EventService) {}
      configure(consumer: MiddlewareConsumer): void {
        consumer
          .apply((_request: unknown, _response: unknown, next: () => void) => {
            void this.events.emit('seen.middleware', 'middleware').then(() => next());
          })
          .forRoutes(Orders);
      }
    }
    const { request } = await serve(adapter(), { imports: [OrdersModule] });

    await request('/orders', { headers: { 'x-correlation-id': 'edge' } });

    expect(['guard', 'middleware'].map(correlationOf)).toEqual(['edge', 'edge']);
  });

  it('inherit what nestjs-cls has, if it is asked', async () => {
    const cls = ClsModule.forRoot({
      global: true,
      middleware: { mount: true, generateId: true, idGenerator: () => 'from cls' },
    });
    const { request } = await serve(
      adapter(),
      { imports: [cls], controllers: [Users] },
      { correlationId: () => ClsServiceManager.getClsService().getId() },
    );

    await request('/users', post({ name: 'created' }, { 'x-correlation-id': 'edge', ...TRACE }));

    expect(correlationOf('created')).toBe('from%20cls');
    expect(stored().get('created')).toMatchObject(TRACE);
  });
});

describe('the option `correlationId`', () => {
  it('gives the id from any AsyncLocalStorage, before the edge and after an explicit one', async () => {
    const storage = new AsyncLocalStorage<string>();
    const { app, request } = await serve(
      new ExpressAdapter(),
      { controllers: [Users] },
      { correlationId: () => storage.getStore() },
      (its) =>
        its.use((_request: unknown, _response: unknown, next: () => void) => storage.run('of als', next)),
    );
    const events = app.get(EventService);

    await request('/users', post({ name: 'in a request' }, { 'x-correlation-id': 'edge' }));
    await storage.run('7', () => events.emit('user.created', 'supplied'));
    await storage.run('7', () => events.emit('user.created', 'explicit', { correlationId: 'own' }));
    await events.emit('user.created', 'outside');

    expect(['in a request', 'supplied', 'explicit'].map(correlationOf)).toEqual(['of%20als', '7', 'own']);
    expect(correlationOf('outside')).toMatch(UUID);
    expect(logger.warnings).toEqual([]);
  });

  it('is not asked for what a handler emits: the event that it handles counts, and not the request before it', async () => {
    const done = new Collector<string>('chained events');
    @Injectable()
    class Chain {
      constructor(private readonly events: EventService) {}
      @OnEvent('user.created')
      async next(name: string): Promise<void> {
        await this.events.emit('user.welcomed', `${name}, welcome`);
        done.add(name);
      }
    }
    const supplied = jest.fn(() => undefined);
    const { request } = await serve(
      new ExpressAdapter(),
      { controllers: [Users], providers: [Chain] },
      { correlationId: supplied },
    );

    await request(
      '/users',
      post({ name: 'Ada', correlationId: 'own' }, { 'x-correlation-id': 'edge', ...TRACE }),
    );
    await done.atLeast(1);

    expect(correlationOf('Ada, welcome')).toBe('own');
    expect(stored().get('Ada, welcome')).toMatchObject(TRACE);
    expect(supplied).not.toHaveBeenCalled();
  });

  it.each<[string, () => unknown, RegExp]>([
    [
      'throws',
      () => {
        throw new Error('no store');
      },
      /`correlationId` threw Error: no store/,
    ],
    ['gives an empty text', () => '', /`correlationId` gave text that is not a string of 1 to 256/],
    ['gives a number', () => 7, /`correlationId` gave a value of type number/],
    ['gives control characters', () => 'a\nb', /`correlationId` gave text that is not/],
  ])(
    'never fails an emit: where it %s the edge counts, and one warning is logged',
    async (_title, give, warning) => {
      const { request } = await serve(
        new ExpressAdapter(),
        { controllers: [Users] },
        { correlationId: give as () => string },
      );

      await request('/users', post({ name: 'first' }, { 'x-correlation-id': 'edge' }));
      await request('/users', post({ name: 'second' }));

      expect(correlationOf('first')).toBe('edge');
      expect(correlationOf('second')).toMatch(UUID);
      expect(logger.warnings).toEqual([expect.stringMatching(warning)]);
    },
  );

  it('must be a function', async () => {
    const start = serve(new ExpressAdapter(), {}, { correlationId: 'case 7' as never });
    await expect(start).rejects.toMatchObject({
      option: 'correlationId',
      message: '`correlationId` must be a function that gives a correlation id or undefined; got "case 7"',
    });
  });
});

describe('two applications in one process', () => {
  it('do not see the requests of each other', async () => {
    const other = await serve(new ExpressAdapter(), {});
    @Controller('both')
    class Both {
      constructor(private readonly events: EventService) {}
      @Get()
      async emit(): Promise<void> {
        await this.events.emit('user.created', 'own');
        await other.app.get(EventService).emit('user.created', 'of the other');
      }
    }
    const { request } = await serve(new ExpressAdapter(), { controllers: [Both] });

    await request('/both', { headers: { 'x-correlation-id': 'edge' } });

    expect(correlationOf('own')).toBe('edge');
    expect(correlationOf('of the other')).toMatch(UUID);
  });
});

async function later(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
