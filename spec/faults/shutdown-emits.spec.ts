import { fork } from 'node:child_process';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import {
  Controller,
  Global,
  Injectable,
  Module,
  Post,
  type BeforeApplicationShutdown,
  type INestApplication,
  type INestMicroservice,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type Type,
} from '@nestjs/common';
import { NestFactory, type NestApplication } from '@nestjs/core';
import {
  ClientProxyFactory,
  MessagePattern,
  Transport,
  type MicroserviceOptions,
} from '@nestjs/microservices';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { TerminusModule } from '@nestjs/terminus';
import {
  EventsModule,
  EventService,
  OnEvent,
  type EmitReceipt,
  type EventsModuleOptions,
} from '@venta/events';
import { lastValueFrom } from 'rxjs';
import { Collector, eventually } from '../../lib/testing/conformance/collector';
import { Gate } from '../../lib/testing/conformance/gate';
import { freePort } from '../support/nats-server';
import { onNats } from '../support/on-nats';
import { buildLibrary } from '../support/worker-build';

const nats = onNats();

let gate: Gate;
let seen: Collector<string>;
beforeEach(() => {
  gate = new Gate();
  seen = new Collector('what happened');
});
afterEach(() => gate.open());

const TRANSPORTS = ['memory', 'NATS'] as const;
type TransportName = (typeof TRANSPORTS)[number];
const events = (
  transport: TransportName,
  more: EventsModuleOptions = {},
): ReturnType<typeof EventsModule.register> =>
  EventsModule.register({
    appName: 'shop',
    ...(transport === 'memory' ? { url: 'memory://' } : { url: nats.server.url, clusterId: nats.clusterId }),
    ...more,
  });

@Controller()
class Orders {
  constructor(readonly events: EventService) {}

  @Post('slow')
  async slow(): Promise<EmitReceipt> {
    seen.add('request');
    await gate.opened;
    return this.events.emit('order.placed', 'slow');
  }

  @Post('quick')
  quick(): Promise<EmitReceipt> {
    return this.events.emit('order.placed', 'quick');
  }

  @MessagePattern('slow')
  async message(): Promise<EmitReceipt> {
    seen.add('message');
    await gate.opened;
    return this.events.emit('order.placed', 'message');
  }
}

@Injectable()
class Handlers {
  @OnEvent('order.placed')
  on(event: string): void {
    seen.add(`handled ${event}`);
  }
}

const moduleOf = (metadata: Parameters<typeof Module>[0]): Type => {
  @Module(metadata)
  class AppModule {}
  return AppModule;
};

const server = (app: INestApplication): Server => app.getHttpServer() as Server;

const post = async (app: INestApplication, route: string): Promise<string> => {
  const { port } = server(app).address() as AddressInfo;
  // Fastify keeps what is kept alive open for more than a minute.
  const headers = { connection: 'close' };
  const response = await fetch(`http://127.0.0.1:${port}/${route}`, { method: 'POST', headers });
  return `${response.status} ${String(((await response.json()) as EmitReceipt).sequence)}`;
};

const closed = async (service: EventService): Promise<void> => {
  expect(service.status).toMatchObject({ state: 'closed', connected: false });
  await expect(service.emit('order.placed', 'late')).rejects.toMatchObject({ code: 'closed' });
};

describe.each(TRANSPORTS)('F33 publishing ends last (%s)', (transport) => {
  it.each([
    ['Express', (module: Type) => NestFactory.create(module, { logger: false })],
    ['Fastify', (module: Type) => NestFactory.create(module, new FastifyAdapter(), { logger: false })],
  ] as const)('a request that runs when the application closes emits (%s)', async (_title, create) => {
    const app = await create(
      moduleOf({ imports: [events(transport)], controllers: [Orders], providers: [Handlers] }),
    );
    await app.listen(0, '127.0.0.1');
    const service = app.get(EventService);
    const answer = post(app, 'slow');
    await seen.atLeast(1);

    const closing = app.close();
    await eventually(
      async () => server(app).listening,
      (listening) => !listening,
      () => 'the HTTP server still listens',
    );
    gate.open();
    expect(await answer).toBe('201 1');
    await closing;
    await closed(service);
    expect(seen.items).toEqual(['request']);
  });

  it('every hook of everybody emits, wherever it stands', async () => {
    const stored: [string, number | undefined][] = [];
    const hooks = (where: string): Type => {
      @Injectable()
      class Hooks implements OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown {
        constructor(private readonly events: EventService) {}
        onModuleDestroy = (): Promise<void> => this.#emit('onModuleDestroy');
        beforeApplicationShutdown = (): Promise<void> => this.#emit('beforeApplicationShutdown');
        onApplicationShutdown = (): Promise<void> => this.#emit('onApplicationShutdown');
        async #emit(hook: string): Promise<void> {
          const { sequence } = await this.events.emit('service.stops', { where, hook });
          stored.push([`${where} ${hook}`, sequence]);
        }
      }
      return Hooks;
    };
    const far = moduleOf({ providers: [hooks('far')] });
    const distant = moduleOf({ imports: [moduleOf({ imports: [far] })] });
    const global = moduleOf({ providers: [hooks('global')] });
    Global()(global);
    const app = await NestFactory.createApplicationContext(
      moduleOf({ imports: [distant, events(transport), global], providers: [hooks('root')] }),
      { logger: false },
    );
    const service = app.get(EventService);
    await app.close();

    expect(stored).toHaveLength(9);
    expect(stored.map(([, sequence]) => sequence).sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await closed(service);
  });

  it('requests that come in a grace period of @nestjs/terminus emit, and nothing is handled any more', async () => {
    const grace = TerminusModule.forRoot({ gracefulShutdownTimeoutMs: 300, logger: false });
    const app = await NestFactory.create(
      moduleOf({ imports: [grace, events(transport)], controllers: [Orders], providers: [Handlers] }),
      { logger: false },
    );
    await app.listen(0, '127.0.0.1');
    const service = app.get(EventService);
    await post(app, 'quick');
    await seen.atLeast(1);

    // Without a signal there is no grace period.
    const closing = (app as NestApplication).close('SIGTERM');
    await eventually(
      async () => service.status.state,
      (state) => state === 'draining',
      (state) => `it is ${state}`,
    );
    expect(await post(app, 'quick')).toBe('201 2');
    expect(await post(app, 'quick')).toBe('201 3');
    await closing;
    await closed(service);
    expect(seen.items).toEqual(['handled quick']);
  });

  it.each(['microservice', 'hybrid application'] as const)(
    'a message that runs when the application closes emits (%s)',
    async (kind) => {
      const port = await freePort();
      const tcp: MicroserviceOptions = { transport: Transport.TCP, options: { host: '127.0.0.1', port } };
      @Injectable()
      class Other implements OnApplicationShutdown {
        onApplicationShutdown(): void {
          seen.add('everybody else has shut down');
        }
      }
      const module = moduleOf({ imports: [events(transport)], controllers: [Orders], providers: [Other] });
      let app: INestApplication | INestMicroservice;
      if (kind === 'microservice') {
        app = await NestFactory.createMicroservice(module, { ...tcp, logger: false });
        await app.listen();
      } else {
        app = await NestFactory.create(module, { logger: false });
        app.connectMicroservice(tcp);
        await app.startAllMicroservices();
        await app.init();
      }
      const client = ClientProxyFactory.create(tcp as never);
      const service = app.get(EventService);
      const emit = jest.spyOn(service, 'emit');
      lastValueFrom(client.send('slow', {})).catch(() => undefined);
      await seen.atLeast(1);

      const closing = app.close();
      await seen.atLeast(2);
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
      gate.open();
      await closing;
      client.close();
      expect(await emit.mock.results[0]?.value).toMatchObject({ sequence: 1 });
      await closed(service);
    },
  );
});

describe('F33 a shutdown is bounded', () => {
  it('when the server is down: what is being emitted is rejected within publishTimeout, then it closes', async () => {
    const server = nats.server;
    const service = await nats.service({ publishTimeout: 700, shutdownTimeout: 500 });
    await service.subscribe('order.placed', () => undefined);
    await server.kill();
    await eventually(
      async () => service.status.connected,
      (connected) => !connected,
      () => 'it is still connected',
    );
    const outcome = service.emit('order.placed', 1).then(
      () => 'stored',
      (error: { code: string }) => error.code,
    );
    const since = performance.now();
    await service.drain();
    expect(performance.now() - since).toBeLessThan(5000);
    expect(await outcome).toBe('publish_unconfirmed');
    await server.restart();
  });

  it('when middleware never lets go of an emit', async () => {
    const service = await nats.service({
      publishTimeout: 100,
      middleware: [{ publish: () => new Promise(() => undefined) }],
    });
    void service.emit('order.placed', 1);
    const since = performance.now();
    await service.drain();
    expect(performance.now() - since).toBeGreaterThanOrEqual(90);
    expect(performance.now() - since).toBeLessThan(5000);
  });

  it('and an emit that middleware still works on is stored', async () => {
    const service = await nats.service({
      middleware: [{ publish: (_event, next) => gate.opened.then(() => next()) }],
    });
    const emitted = Promise.all([
      service.emit('order.placed', 1),
      service.emitMany([{ name: 'order.placed', data: 2 }]),
    ]);
    const drained = service.drain();
    await new Promise(setImmediate);
    gate.open();
    await drained;
    expect(await emitted).toMatchObject([{ duplicate: false }, [{ duplicate: false }]]);
    expect(await nats.stored()).toHaveLength(2);
  });

  it('and an emitMany that has begun is stored to its end', async () => {
    const service = await nats.service();
    const events = Array.from({ length: 20 }, (_, data) => ({ name: 'order.placed', data }));
    const emitted = service.emitMany(events, { window: 1 });
    await service.drain();
    expect(await emitted).toHaveLength(20);
    expect(await nats.stored()).toHaveLength(20);
  });
});

describe('F33 SIGTERM', () => {
  beforeAll(() => buildLibrary(), 60_000);

  it('answers the request that runs and those of the grace period, also after a second signal, then ends', async () => {
    const program = fork(path.join(__dirname, '../support/http-program.mjs'), [
      nats.server.url,
      nats.clusterId,
    ]);
    const told = new Collector<{ what: string; port?: number }>('what the program tells', ({ what }) => what);
    program.on('message', (message: { what: string }) => told.add(message));
    const exited = new Promise((resolve) => program.on('exit', (code, signal) => resolve(code ?? signal)));
    const [{ port } = {}] = await told.atLeast(1);
    const request = async (route: string): Promise<number> =>
      (await fetch(`http://127.0.0.1:${port}/${route}`, { method: 'POST' })).status;
    const answer = request('slow');
    await told.atLeast(2);

    program.kill('SIGTERM');
    await told.until((items) => items.some(({ what }) => what === 'onModuleDestroy'), 'the first hook');
    program.kill('SIGTERM');
    expect(await request('quick')).toBe(201);
    program.send('release');
    expect(await answer).toBe(201);
    expect(await exited).toBe('SIGTERM');

    const stored = (await nats.stored()).map(
      ({ body }) => (JSON.parse(body.toString()) as { by: string }).by,
    );
    expect(stored.sort()).toEqual(
      ['beforeApplicationShutdown', 'onApplicationShutdown', 'onModuleDestroy', 'quick', 'slow'].sort(),
    );
  });
});
