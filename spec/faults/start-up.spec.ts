import 'reflect-metadata';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { createEventService, EventsError, EventsModule, type EventService } from '@venta/events';
import { Collector, eventually } from '../../lib/testing/conformance/collector';
import { untilConnected, failing } from '../support/leftovers';
import { freePort, NatsServer } from '../support/nats-server';
import { RecordingLogger } from '../support/recording-logger';

// Longer than the patience of a `Collector`, whose message says what did not come.
jest.setTimeout(30_000);

const logger = new RecordingLogger();
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  logger.clear();
});

async function nats(options: Parameters<typeof NatsServer.start>[0] = {}): Promise<NatsServer> {
  const server = await NatsServer.start(options);
  closing.push(() => server.stop());
  return server;
}

/** Something that listens on a port and is no NATS server. */
async function listenOn(port: number, onSocket: (socket: Socket) => void): Promise<Server> {
  const server = createServer(onSocket);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  closing.push(() => server.close());
  return server;
}

/** A server of a version of long ago, as far as a client sees it when it connects. */
const oldServer = (port: number, version: string): Promise<Server> =>
  listenOn(port, (socket) => {
    const info = {
      server_id: 'old',
      version,
      proto: 1,
      headers: true,
      max_payload: 1_048_576,
      jetstream: true,
    };
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
    socket.on('data', (data: Buffer) => {
      if (data.includes('PING\r\n')) socket.write('PONG\r\n');
    });
    socket.on('error', () => {});
  });

const start = (options: Parameters<typeof createEventService>[0]): Promise<EventService> =>
  createEventService({ appName: 'shop', connectTimeout: 700, ...options }, logger);

describe('F04 without a server', () => {
  it('start-up waits as long as connectTimeout, then fails and leaves nothing behind', async () => {
    const url = `nats://127.0.0.1:${await freePort()}`;

    const before = Date.now();
    const error = await failing(() => start({ url }));
    const took = Date.now() - before;

    expect(error).toMatchObject({ code: 'connection_failed', retryable: true });
    expect((error as EventsError).message).toContain(url);
    expect((error as EventsError).message).toContain('NATS_URL');
    expect(took).toBeGreaterThanOrEqual(700 - 50);
    expect(took).toBeLessThan(700 + 2000);
  });

  it('a port that accepts connections and says nothing is no server either', async () => {
    const port = await freePort();
    const closed = new Collector<true>('closed sockets');
    const sockets: Socket[] = [];
    closing.push(() => sockets.forEach((socket) => socket.destroy()));
    await listenOn(port, (socket) => {
      sockets.push(socket);
      socket.resume().on('error', () => {});
      socket.on('close', () => closed.add(true));
    });

    const before = Date.now();
    const error = await start({ url: `nats://127.0.0.1:${port}` }).catch((reason: unknown) => reason);

    expect(error).toMatchObject({ code: 'connection_failed', retryable: true });
    expect(Date.now() - before).toBeLessThan(700 + 2000);
    expect(sockets.length).toBeGreaterThan(0);
    // The client lets go of a socket that never spoke only when the other side does.
    for (const socket of sockets) socket.destroy();
    await closed.atLeast(sockets.length);
  });

  it('one that comes up meanwhile is used', async () => {
    const server = await NatsServer.create({ name: 'late' });
    closing.push(() => server.stop());
    const attempts = new Collector<true>('attempts to connect');
    const refusing = await listenOn(server.port, (socket) => {
      attempts.add(true);
      socket.destroy();
    });

    const starting = start({ url: server.url, connectTimeout: 20_000 });
    await attempts.atLeast(1);
    await new Promise((resolve) => refusing.close(resolve));
    await server.launch();
    const service = await starting;
    closing.push(() => service.drain());

    expect(service.status).toMatchObject({ state: 'running', connected: true, problems: [] });
    expect(await service.emit('order.placed', 1)).toMatchObject({ stream: 'events', sequence: 1 });
  });

  it('the second of two urls is used', async () => {
    const server = await nats();
    const service = await start({ url: [`nats://127.0.0.1:${await freePort()}`, server.url] });
    closing.push(() => service.drain());

    expect(service.status.connected).toBe(true);
  });

  it('one that comes up in the last moment is reconnected to as patiently as any other', async () => {
    const server = await nats();
    const port = await freePort();
    const through: Socket[] = [];
    closing.push(() => through.forEach((socket) => socket.destroy()));
    let [attempts, delay] = [0, 0];
    await listenOn(port, (socket) => {
      socket.on('error', () => {});
      if (++attempts <= 5) return void socket.destroy();
      through.push(socket);
      setTimeout(() => {
        const upstream = connect(server.port, '127.0.0.1').on('error', () => {});
        socket.pipe(upstream).pipe(socket);
        socket.on('close', () => upstream.destroy());
      }, delay);
    });
    // Tried at 0, 0.1, 0.3, 0.7, 1.5 and 2.5 s.
    const service = await start({ url: `nats://127.0.0.1:${port}`, connectTimeout: 3000 });
    closing.push(() => service.drain());

    delay = 1200;
    through.forEach((socket) => socket.destroy());
    await logger.until('warn', /disconnected/);

    await eventually(
      async () => service.status.connected,
      (connected) => connected,
      () => 'it is not connected again',
    );
    expect(await service.emit('order.placed', 1)).toMatchObject({ sequence: 1 });
  });

  it('a Nest application is not created before there is one', async () => {
    const server = await NatsServer.create({ name: 'late' });
    closing.push(() => server.stop());
    const attempts = new Collector<true>('attempts to connect');
    const refusing = await listenOn(server.port, (socket) => {
      attempts.add(true);
      socket.destroy();
    });
    @Module({
      imports: [EventsModule.register({ appName: 'shop', url: server.url, connectTimeout: 20_000 })],
    })
    class AppModule {}

    let created = false;
    const creating = Test.createTestingModule({ imports: [AppModule] })
      .setLogger(logger)
      .compile()
      .finally(() => (created = true));
    await attempts.atLeast(2);
    expect(created).toBe(false);
    await new Promise((resolve) => refusing.close(resolve));
    await server.launch();

    const app = await creating;
    await app.init();
    await untilConnected(server, ['shop']);
    await app.close();
  });

  it('a Nest application fails, and leaves nothing behind', async () => {
    const url = `nats://127.0.0.1:${await freePort()}`;
    @Module({ imports: [EventsModule.register({ appName: 'shop', url, connectTimeout: 300 })] })
    class AppModule {}

    const error = await failing(() =>
      Test.createTestingModule({ imports: [AppModule] })
        .setLogger(logger)
        .compile(),
    );

    expect(error).toMatchObject({ code: 'connection_failed' });
  });
});

describe('a server that is too old', () => {
  it.each(['2.9.10', '2.9.25-beta.1', '1.4.1'])('(%s) is refused by name', async (version) => {
    for (const delivery of ['durable', 'ephemeral'] as const) {
      const port = await freePort();
      const server = await oldServer(port, version);

      const error = await failing(() => start({ url: `nats://127.0.0.1:${port}`, delivery }));

      expect(error).toMatchObject({ code: 'unsupported_server', retryable: false });
      expect((error as EventsError).message).toContain(version);
      expect((error as EventsError).message).toContain('2.10');
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe('a server without JetStream', () => {
  const WITHOUT: readonly (readonly [string, Parameters<typeof NatsServer.start>[0]])[] = [
    ['at all', { jetstream: false }],
    [
      'for this account',
      {
        config: `accounts {
          JS { jetstream: enabled, users: [{ user: other, password: other }] }
          PLAIN { users: [{ user: shop, password: shop }] }
        }
        no_auth_user: shop`,
      },
    ],
  ];

  it.each(WITHOUT)(
    '%s is refused by a durable service, which leaves nothing behind',
    async (_title, options) => {
      const server = await nats(options);

      const error = await failing(() => start({ url: server.url }));

      expect(error).toMatchObject({ code: 'jetstream_unavailable', retryable: true });
      expect((error as EventsError).message).toMatch(/enabled/);
      await untilConnected(server, []);
    },
  );

  it.each(WITHOUT)('%s is enough for an ephemeral service', async (_title, options) => {
    const server = await nats(options);
    const service = await start({ url: server.url, delivery: 'ephemeral' });
    closing.push(() => service.drain());
    const received = new Collector<unknown>('events');
    await service.subscribe('order.placed', (data: unknown) => received.add(data));

    await service.emit('order.placed', { number: 7 });

    expect(await received.atLeast(1)).toEqual([{ number: 7 }]);
    expect(service.status).toMatchObject({ connected: true, problems: [] });
  });

  it.each(WITHOUT)('%s is refused by a durable handler of an ephemeral service', async (_title, options) => {
    const server = await nats(options);
    const service = await start({ url: server.url, delivery: 'ephemeral' });
    closing.push(() => service.drain());

    await expect(service.subscribe('order.placed', () => {}, { delivery: 'durable' })).rejects.toMatchObject({
      code: 'jetstream_unavailable',
    });
    expect(service.status.subscriptions).toEqual([]);
  });
});

describe('with a wrong secret', () => {
  const config = 'authorization { user: shop, password: "the right one" }';
  const secret = 'hunter-two-secret';

  it.each([
    ['a password', (url: string) => ({ url, connection: { user: 'shop', pass: secret } })],
    ['a password in the url', (url: string) => ({ url: url.replace('//', `//shop:${secret}@`) })],
    ['a token', (url: string) => ({ url, connection: { token: secret } })],
  ])('(%s) start-up fails, without telling it, and leaves nothing behind', async (_title, options) => {
    const server = await nats({ config });

    const error = await failing(() => start(options(server.url)));

    expect(error).toMatchObject({ code: 'connection_failed' });
    expect((error as EventsError).message).toMatch(/authorization/i);
    for (const told of [String(error), inspect(error, { depth: Infinity, showHidden: true }), logger.text]) {
      expect(told).not.toContain(secret);
    }
    await untilConnected(server, []);
  });

  it('start-up waits for the right one to be in place', async () => {
    const server = await nats({ config });
    const starting = start({
      url: server.url,
      connection: { user: 'shop', pass: secret },
      connectTimeout: 20_000,
    });
    await eventually(
      async () => server.log(),
      (log) => /authentication error/i.test(log),
      () => 'nobody was refused',
    );
    await server.reload(`authorization { user: shop, password: ${secret} }`);
    const service = await starting;
    closing.push(() => service.drain());

    expect(service.status.connected).toBe(true);
    expect(inspect(service, { depth: Infinity, showHidden: true })).not.toContain(secret);
  });
});
