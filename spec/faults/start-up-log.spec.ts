import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { createEventService, EventService, EventsModule, OnEvent } from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { freePort, NatsServer } from '../support/nats-server';
import { RecordingLogger, type LogEntry } from '../support/recording-logger';

jest.setTimeout(40_000);

const logger = new RecordingLogger();
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  logger.clear();
});

const lines = (): LogEntry[] => logger.entries.items.filter(({ level }) => level !== 'debug');

const placed = new Collector<number>('events of orders');

@Injectable()
class Handlers {
  @OnEvent('order.placed', { name: 'first' })
  first(id: number): void {
    placed.add(id);
  }

  @OnEvent('order.placed', { name: 'second' })
  second(id: number): void {
    placed.add(id);
  }

  @OnEvent(['order.paid', 'order.sent'], { name: 'third' })
  third(): void {}
}

describe('the log of a start', () => {
  it.each(['nats', 'memory'] as const)('names the connection and each handler, on %s', async (kind) => {
    const server = kind === 'nats' ? await NatsServer.start() : undefined;
    if (server !== undefined) closing.push(() => server.stop());
    const service = await createEventService({ appName: 'shop', url: server?.url ?? 'memory://' }, logger);
    closing.push(() => service.drain());
    await service.subscribe('order.placed', () => {}, { name: 'first' });
    await service.subscribe('user.*', () => {}, { name: 'all' });

    const texts = lines().map(({ message }) => message);
    expect(texts.filter((text) => text.startsWith('connected to '))).toHaveLength(1);
    if (server !== undefined)
      expect(texts[0]).toMatch(
        /^connected to NATS at 127\.0\.0\.1:\d+ \(nats-server \d[^)]*\), cluster 'events'$/,
      );
    expect(texts.filter((text) => text.includes(' is bound: '))).toEqual([
      "'first' is bound: durable 'shop__first' (order.placed)",
      expect.stringMatching(/^'all' is bound: durable 'shop__all[^']*' \(user\.\*\)$/),
    ]);
  });

  it('tells once that it waits for the server', async () => {
    const url = `nats://shop:secret@127.0.0.1:${await freePort()}`;
    await expect(
      createEventService({ appName: 'shop', url, connectTimeout: 1800 }, logger),
    ).rejects.toMatchObject({ code: 'connection_failed' });

    expect(lines()).toEqual([
      {
        level: 'warn',
        message: expect.stringMatching(
          /^waiting for NATS at \S+: not connected since \S+Z; tried again until \S+Z/,
        ) as string,
      },
    ]);
    expect(logger.text).not.toContain('secret');
  });
});

describe('the log of a restart of the server', () => {
  it.each(['SIGKILL', 'SIGTERM'] as const)(
    '(%s) has two lines, however many handlers there are',
    async (signal) => {
      const server = await NatsServer.start();
      closing.push(() => server.stop());
      @Module({
        imports: [EventsModule.register({ appName: 'shop', url: server.url })],
        providers: [Handlers],
      })
      class AppModule {}
      const module = await Test.createTestingModule({ imports: [AppModule] })
        .setLogger(logger)
        .compile();
      const app = module.createNestApplication();
      await app.init();
      closing.push(() => app.close());
      expect(lines().filter(({ message }) => message.includes(' is bound: '))).toHaveLength(3);
      logger.clear();
      placed.items.length = 0;

      await server.kill(signal);
      await logger.until('warn', /disconnected/);
      await server.restart();
      await logger.until('log', /^reconnected to NATS/);
      await app.get(EventService).emit('order.placed', 1);
      await placed.atLeast(2);

      expect(lines()).toEqual([
        { level: 'warn', message: 'disconnected from NATS; reconnecting' },
        { level: 'log', message: expect.stringMatching(/^reconnected to NATS at 127\.0\.0\.1:/) as string },
      ]);
    },
  );
});
