import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Metadata } from '@grpc/grpc-js';
import {
  Controller,
  Inject,
  Injectable,
  Module,
  Scope,
  UseInterceptors,
  type CallHandler,
  type INestApplication,
  type INestMicroservice,
  type NestInterceptor,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ClientProxyFactory,
  EventPattern,
  GrpcMethod,
  GrpcStreamMethod,
  MessagePattern,
  NatsRecordBuilder,
  Transport,
  type ClientProxy,
  type MicroserviceOptions,
} from '@nestjs/microservices';
import { EventsModule, EventService } from '@venta/events';
import { headers as natsHeaders } from 'nats';
import {
  concat,
  concatMap,
  defer,
  from,
  lastValueFrom,
  map,
  mergeMap,
  of,
  toArray,
  type Observable,
} from 'rxjs';
import { Collector } from '../../lib/testing/conformance/collector';
import { Gate } from '../../lib/testing/conformance/gate';
import { freePort } from '../support/nats-server';
import { onNats, type Received } from '../support/on-nats';

const TRACE = {
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'congo=t61rcWkgMzE',
  baggage: 'tier=gold',
};
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

const nats = onNats();
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** Runs what comes after it later, and only when somebody subscribes to its result. */
@Injectable()
class Later implements NestInterceptor {
  async intercept(_context: unknown, next: CallHandler): Promise<Observable<unknown>> {
    await setImmediate();
    return defer(async () => setImmediate()).pipe(mergeMap(() => next.handle()));
  }
}

const moduleOf = (controllers: Type[]): Type => {
  @Module({
    imports: [EventsModule.register({ appName: 'shop', url: nats.server.url, clusterId: nats.clusterId })],
    controllers,
  })
  class AppModule {}
  return AppModule;
};

async function microservice(controllers: Type[], options: MicroserviceOptions): Promise<INestMicroservice> {
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(moduleOf(controllers), {
    ...options,
    logger: false,
    abortOnError: false,
  });
  closing.push(() => app.close());
  await app.listen();
  return app;
}

async function overNats(controllers: Type[]): Promise<ClientProxy> {
  const options = { servers: [nats.server.url] };
  const app = await microservice(controllers, { transport: Transport.NATS, options });
  // Nest does not wait until the server knows its subscriptions.
  await app.unwrap<{ flush(): Promise<void> }>().flush();
  const client = ClientProxyFactory.create({ transport: Transport.NATS, options });
  closing.push(() => client.close());
  await client.connect();
  return client;
}

const record = (data: unknown, given: Record<string, string>): unknown => {
  const headers = natsHeaders();
  for (const [key, value] of Object.entries(given)) headers.set(key, value);
  return new NatsRecordBuilder(data).setHeaders(headers).build();
};

/** What another service receives; `of` gives the context of the event with this data. */
async function audit(): Promise<{ of(data: unknown): Promise<Received['context']> }> {
  const received = await nats.collect(await nats.service({ appName: 'audit' }), '>');
  return {
    of: async (data) => {
      const all = await received.until((items) => items.some((item) => item.data === data), String(data));
      return all.find((item) => item.data === data)!.context;
    },
  };
}

describe("events that are emitted for a message of Nest's NATS transport", () => {
  @Controller()
  class Promised {
    constructor(private readonly events: EventService) {}
    @MessagePattern('orders.place')
    async place(name: string): Promise<string> {
      await setImmediate();
      await this.events.emit('order.placed', name);
      return `placed ${name}`;
    }
  }
  @Controller()
  @UseInterceptors(Later)
  class Intercepted extends Promised {}
  @Controller()
  class Observed {
    constructor(private readonly events: EventService) {}
    @MessagePattern('orders.place')
    place(name: string): Observable<string> {
      return defer(() => this.events.emit('order.placed', name)).pipe(map(() => `placed ${name}`));
    }
  }
  @Controller()
  @UseInterceptors(Later)
  class InterceptedObserved extends Observed {}
  @Controller({ scope: Scope.REQUEST })
  class Scoped extends Promised {}

  it.each<[string, Type]>([
    ['a promise', Promised],
    ['a promise, behind an interceptor', Intercepted],
    ['an Observable', Observed],
    ['an Observable, behind an interceptor', InterceptedObserved],
    ['a promise, of a request-scoped controller', Scoped],
  ])(
    'inherit its correlation id and trace where the handler of a request gives %s',
    async (_title, controller) => {
      const events = await audit();
      const client = await overNats([controller]);
      const headers = { 'x-correlation-id': 'case 7', ...TRACE };

      const answers = await Promise.all([
        lastValueFrom(client.send('orders.place', record('one', headers))),
        lastValueFrom(client.send('orders.place', record('two', { 'X-Request-Id': 'case 8' }))),
        lastValueFrom(client.send('orders.place', 'three')),
      ]);

      expect(answers).toEqual(['placed one', 'placed two', 'placed three']);
      const [one, two, three] = [await events.of('one'), await events.of('two'), await events.of('three')];
      expect([one.correlationId, two.correlationId]).toEqual(['case 7', 'case 8']);
      expect(three.correlationId).toMatch(UUID);
      expect([one, two].map(({ causationId }) => causationId)).toEqual([undefined, undefined]);
      expect({ ...one.headers }).toEqual(TRACE);
      expect({ ...two.headers }).toEqual({});
    },
  );

  it('inherit in every handler of an event', async () => {
    const events = await audit();
    const handler = (name: string, scope: Scope): Type => {
      @Controller({ scope })
      class Handler {
        constructor(@Inject(EventService) private readonly events: EventService) {}
        @EventPattern('orders.arrived')
        async note(data: string): Promise<void> {
          await setImmediate();
          await this.events.emit('order.noted', `${data} in ${name}`);
        }
      }
      return Handler;
    };
    const intercepted = handler('intercepted', Scope.DEFAULT);
    UseInterceptors(Later)(intercepted);
    const client = await overNats([
      handler('first', Scope.DEFAULT),
      handler('scoped', Scope.REQUEST),
      intercepted,
      handler('last', Scope.DEFAULT),
    ]);

    client.emit('orders.arrived', record('one', { 'x-correlation-id': 'case 7', ...TRACE }));

    for (const name of ['first', 'scoped', 'intercepted', 'last']) {
      const { correlationId, headers } = await events.of(`one in ${name}`);
      expect([name, correlationId, { ...headers }]).toEqual([name, 'case 7', TRACE]);
    }
  });

  it('do not mix with those of messages that are handled at the same time', async () => {
    const arrived = new Collector<string>('messages');
    const gate = new Gate();
    @Controller()
    class Orders {
      constructor(private readonly events: EventService) {}
      @MessagePattern('orders.place')
      async place(name: string): Promise<string> {
        arrived.add(name);
        await gate.opened;
        await this.events.emit('order.placed', name);
        return name;
      }
    }
    const events = await audit();
    const client = await overNats([Orders]);
    const names = Array.from({ length: 10 }, (_, i) => `order ${i}`);

    const answers = Promise.all(
      names.map((name) =>
        lastValueFrom(client.send('orders.place', record(name, { 'x-correlation-id': `of ${name}` }))),
      ),
    );
    await arrived.atLeast(names.length);
    gate.open();
    await answers;

    for (const name of names) expect((await events.of(name)).correlationId).toBe(`of ${name}`);
  });

  it('leave the answers of handlers that fail as they are', async () => {
    @Controller()
    class Orders {
      @MessagePattern('orders.place')
      place(): never {
        throw new Error('no');
      }
    }
    const client = await overNats([Orders]);

    const answer = lastValueFrom(
      client.send('orders.place', record('one', { 'x-correlation-id': 'case 7' })),
    );

    await expect(answer).rejects.toMatchObject({ status: 'error', message: 'Internal server error' });
  });
});

describe('events that are emitted for a gRPC call', () => {
  interface Order {
    name: string;
  }
  interface OrdersClient {
    place(order: Order, metadata: Metadata): Observable<Order>;
    follow(order: Order, metadata: Metadata): Observable<Order>;
    collect(orders: Observable<Order>, metadata: Metadata): Observable<Order>;
  }
  const options = { package: 'orders', protoPath: path.join(__dirname, '../support/orders.proto') };

  @Controller()
  class Plain {
    constructor(protected readonly events: EventService) {}

    @GrpcMethod('Orders', 'Place')
    async place(order: Order): Promise<Order> {
      await this.events.emit('order.placed', order.name);
      return order;
    }

    @GrpcMethod('Orders', 'Follow')
    follow({ name }: Order): Observable<Order> {
      return from(['first', 'second']).pipe(
        concatMap(async (step) => {
          await setImmediate();
          await this.events.emit('order.followed', `${name} ${step}`);
          return { name: step };
        }),
      );
    }

    @GrpcStreamMethod('Orders', 'Collect')
    collect(orders: Observable<Order>): Observable<Order> {
      return orders.pipe(
        concatMap(async ({ name }) => {
          await this.events.emit('order.collected', name);
          return name;
        }),
        toArray(),
        map((names) => ({ name: names.join(' and ') })),
      );
    }
  }
  @Controller()
  @UseInterceptors(Later)
  class Intercepted extends Plain {}

  async function overGrpc(controller: Type): Promise<OrdersClient> {
    const transport = {
      transport: Transport.GRPC,
      options: { ...options, url: `127.0.0.1:${await freePort()}` },
    } as const;
    await microservice([controller], transport);
    const client = ClientProxyFactory.create(transport);
    closing.push(() => client.close());
    return client.getService<OrdersClient>('Orders');
  }

  const metadataOf = (entries: Record<string, string>): Metadata => {
    const metadata = new Metadata();
    for (const [key, value] of Object.entries(entries)) metadata.set(key, value);
    return metadata;
  };

  it.each<[string, Type]>([
    ['', Plain],
    [', behind an interceptor', Intercepted],
  ])('inherit its correlation id and trace%s', async (_title, controller) => {
    const events = await audit();
    const orders = await overGrpc(controller);
    const metadata = metadataOf({ 'X-Correlation-Id': 'case 7', ...TRACE });

    expect(await lastValueFrom(orders.place({ name: 'one' }, metadata))).toEqual({ name: 'one' });
    expect(await lastValueFrom(orders.follow({ name: 'two' }, metadata))).toEqual({ name: 'second' });
    await lastValueFrom(orders.place({ name: 'three' }, new Metadata()));

    for (const data of ['one', 'two first', 'two second']) {
      const { correlationId, headers } = await events.of(data);
      expect([data, correlationId, { ...headers }]).toEqual([data, 'case 7', TRACE]);
    }
    expect((await events.of('three')).correlationId).toMatch(UUID);
  });

  it('inherit for every message of a stream', async () => {
    const events = await audit();
    const orders = await overGrpc(Plain);
    const late = defer(() => events.of('first')).pipe(map(() => ({ name: 'late' })));

    const collected = orders.collect(
      concat(of({ name: 'first' }), late),
      metadataOf({ 'x-correlation-id': 'case 7' }),
    );

    expect(await lastValueFrom(collected)).toEqual({ name: 'first and late' });
    expect((await events.of('first')).correlationId).toBe('case 7');
    expect((await events.of('late')).correlationId).toBe('case 7');
  });
});

describe('an application that serves HTTP and NATS', () => {
  it('tells their messages apart, and other applications of the process do not see them', async () => {
    const other = await NestFactory.createMicroservice<MicroserviceOptions>(moduleOf([]), {
      transport: Transport.NATS,
      options: { servers: [nats.server.url] },
      logger: false,
    });
    closing.push(() => other.close());
    await other.init();
    const pattern = `orders.${randomUUID()}`;
    @Controller()
    class Orders {
      constructor(private readonly events: EventService) {}
      @MessagePattern(pattern)
      async place(name: string): Promise<string> {
        await this.events.emit('order.placed', name);
        await other.get(EventService).emit('order.placed', `${name}, elsewhere`);
        return name;
      }
    }
    const events = await audit();
    const app: INestApplication = await NestFactory.create(moduleOf([Orders]), { logger: false });
    closing.push(() => app.close());
    const options = { servers: [nats.server.url] };
    const service = app.connectMicroservice<MicroserviceOptions>({ transport: Transport.NATS, options });
    await app.startAllMicroservices();
    await service.unwrap<{ flush(): Promise<void> }>().flush();
    const client = ClientProxyFactory.create({ transport: Transport.NATS, options });
    closing.push(() => client.close());

    await lastValueFrom(client.send(pattern, record('one', { 'x-correlation-id': 'case 7' })));

    expect((await events.of('one')).correlationId).toBe('case 7');
    expect((await events.of('one, elsewhere')).correlationId).toMatch(UUID);
  });
});
