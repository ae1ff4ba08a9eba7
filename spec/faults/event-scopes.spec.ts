import { AsyncLocalStorage } from 'node:async_hooks';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import * as events from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { onNats } from '../support/on-nats';
import { silentLogger } from '../support/silent-logger';
import { buildLibrary } from '../support/worker-build';

const nats = onNats();
const services: events.EventService[] = [];
afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.drain()));
});

const request = new AsyncLocalStorage<string>();
const span = new AsyncLocalStorage<string>();
const stores = (): string => `${request.getStore() ?? 'none'} ${span.getStore() ?? 'none'}`;
let seen: Collector<string>;
beforeEach(() => (seen = new Collector<string>('the stores that handlers see', String)));

const optionsOf = (transport: string): events.EventsModuleOptions => ({
  appName: 'shop',
  retry: { attempts: 3, delay: 5, jitter: 0 },
  ...(transport === 'memory' ? { url: 'memory://' } : { url: nats.server.url, clusterId: nats.clusterId }),
});

const create = async (
  transport: string,
  more: events.EventsModuleOptions = {},
  library = events,
): Promise<events.EventService> => {
  const service = await library.createEventService({ ...optionsOf(transport), ...more }, silentLogger);
  services.push(service);
  return service;
};

const inRequest = <T>(run: () => Promise<T>): Promise<T> =>
  request.run('of a request', () => {
    span.enterWith('of a span');
    return run();
  });

const failingOnce = (_data: unknown, { attempt }: events.EventContext): void => {
  seen.add(stores());
  if (attempt === 1) throw new Error('once more');
};

describe.each(['memory', 'NATS'])(
  'F37 a service that is made inside of an AsyncLocalStorage (%s)',
  (transport) => {
    it('gives its handlers an empty context, at the first attempt and at the next', async () => {
      await inRequest(async () => {
        const service = await create(transport);
        await service.subscribe('order.placed', failingOnce);
        await service.subscribe('order.*', failingOnce, { broadcast: true });
        await service.subscribe('order.placed', failingOnce, { name: 'ephemeral', delivery: 'ephemeral' });
        await service.emitMany([1, 2, 3].map((data) => ({ name: 'order.placed', data })));
        await seen.atLeast(18);
      });
      expect(new Set(seen.items)).toEqual(new Set(['none none']));
    });

    it('as does an application, with middleware around its handlers', async () => {
      @Injectable()
      class Handlers {
        @events.OnEvent('order.placed')
        handle(data: unknown, context: events.EventContext): void {
          failingOnce(data, context);
        }
      }
      const middleware: events.EventMiddleware = {
        consume: (_context, next) => {
          seen.add(stores());
          return next();
        },
      };
      @Module({
        imports: [events.EventsModule.register({ ...optionsOf(transport), middleware: [middleware] })],
        providers: [Handlers],
      })
      class AppModule {}
      const app = await inRequest(async () => {
        const made = await NestFactory.createApplicationContext(AppModule, { logger: false });
        await made.get(events.EventService).emit('order.placed', 1);
        return made;
      });
      await seen.atLeast(4);
      await app.close();
      expect(new Set(seen.items)).toEqual(new Set(['none none']));
    });

    it('also where this package is loaded there', async () => {
      let lazy!: typeof events;
      await inRequest(async () => {
        jest.isolateModules(() => (lazy = jest.requireActual<typeof events>('@venta/events')));
        const service = await create(transport, {}, lazy);
        await service.subscribe('order.placed', failingOnce);
        await service.emit('order.placed', 1);
        await seen.atLeast(2);
      });
      expect(new Set(seen.items)).toEqual(new Set(['none none']));
    });
  },
);

describe.each(['memory', 'NATS'])('F38 enterWith in a handler (%s)', (transport) => {
  const ways: Record<string, (data: unknown) => unknown> = {
    'a handler without a promise': (data) => request.enterWith(`of ${String(data)}`),
    'before its first await': async (data) => {
      request.enterWith(`of ${String(data)}`);
      await Promise.resolve();
    },
    'after an await': async (data) => {
      await Promise.resolve();
      request.enterWith(`of ${String(data)}`);
      await new Promise(setImmediate);
    },
    'in a handler that fails': (data) => {
      request.enterWith(`of ${String(data)}`);
      throw new events.NonRetryableError('no');
    },
  };

  it.each(Object.keys(ways).flatMap((way) => [1, 100].map((concurrency) => [way, concurrency] as const)))(
    'is seen by no other event: %s, concurrency %d',
    async (way, concurrency) => {
      const service = await create(transport, { concurrency });
      await service.subscribe('order.placed', (data: unknown) => {
        seen.add(stores());
        return ways[way]!(data);
      });
      await service.emitMany(Array.from({ length: 50 }, (_, data) => ({ name: 'order.placed', data })));
      await seen.atLeast(50);
      expect(new Set(seen.items)).toEqual(new Set(['none none']));
      expect(stores()).toBe('none none');
    },
  );

  it('is seen by the handler itself to its end, and by what it emits', async () => {
    const service = await create(transport, { correlationId: () => request.getStore() });
    await service.subscribe('order.placed', async () => {
      request.enterWith('its own');
      await new Promise(setImmediate);
      seen.add(stores());
      await service.emit('order.packed', 1);
      seen.add(stores());
    });
    await service.emit('order.placed', 1);
    expect(await seen.atLeast(2)).toEqual(['its own none', 'its own none']);
  });
});

describe('F39 services made and drained by the hundred in one process', () => {
  beforeAll(() => buildLibrary(), 60_000);

  it.each([
    ['memory', 300],
    ['NATS', 60],
  ])('leave nothing behind, and the process ends by itself (%s)', async (transport, count) => {
    const program = path.join(__dirname, '../support/hundreds.mjs');
    const url = transport === 'memory' ? 'memory://' : nats.server.url;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [program, url, nats.clusterId, String(count)],
      { timeout: 25_000 },
    );
    const { before, after } = JSON.parse(stdout) as Record<string, unknown>;
    expect(after).toEqual(before);
  });
});
