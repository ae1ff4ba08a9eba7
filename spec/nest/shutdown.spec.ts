import {
  Injectable,
  Module,
  type BeforeApplicationShutdown,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type Type,
} from '@nestjs/common';
import { EventsModule, EventService, OnEvent, type EventContext } from '@venta/events';
import { Collector, eventually } from '../../lib/testing/conformance/collector';
import { Gate } from '../../lib/testing/conformance/gate';
import { createMemoryTransport } from '../../lib/transports/memory';
import { applications } from '../support/applications';
import { silentLogger } from '../support/silent-logger';
import { sharedMemory } from '../support/shared-memory';

const memory = sharedMemory();
const { start, compileBare, logger } = applications(() => ({ url: memory.url }));

let received: Collector<unknown>;
let gate: Gate;
beforeEach(() => {
  received = new Collector('what happened');
  gate = new Gate();
});

const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
};

@Injectable()
class Work {
  constructor(private readonly events: EventService) {}
  @OnEvent('job.started', { concurrency: 1 })
  async run(event: unknown, { attempt }: EventContext): Promise<void> {
    received.add(['started', event, attempt]);
    await gate.opened;
    await this.events.emit('job.done', event);
    received.add(['finished', event]);
  }
}

@Injectable()
class Database implements OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown {
  onModuleDestroy(): void {
    received.add('database destroyed');
  }
  beforeApplicationShutdown(): void {
    received.add('database before shutdown');
  }
  onApplicationShutdown(): void {
    received.add('database shut down');
  }
}

@Module({ providers: [Database], exports: [Database] })
class DatabaseModule {}

describe('closing an application', () => {
  const events = (): ReturnType<typeof EventsModule.register> =>
    EventsModule.register({ appName: 'shop', url: memory.url });

  const nested = (): Type => {
    @Module({ imports: [events()] })
    class InnerModule {}
    @Module({ imports: [InnerModule] })
    class OuterModule {}
    return OuterModule;
  };
  const asWorkModule = (imports: Parameters<typeof Module>[0]['imports']): Type => {
    @Module({ imports, providers: [Work] })
    class WorkModule {}
    return WorkModule;
  };

  it.each<[string, () => NonNullable<Parameters<typeof Module>[0]['imports']>]>([
    ['first', () => [events(), DatabaseModule, asWorkModule([])]],
    ['last', () => [asWorkModule([]), DatabaseModule, events()]],
    ['in a nested module', () => [asWorkModule([]), DatabaseModule, nested()]],
    ['by what the database is imported with', () => [asWorkModule([DatabaseModule]), events()]],
    ['by a module below the database', () => [DatabaseModule, asWorkModule([nested()])]],
  ])(
    'lets running handlers finish, emits included, before anybody is destroyed (events module imported %s)',
    async (_title, imports) => {
      const app = await compileBare({
        imports: imports(),
        providers: [{ provide: 'ROOT', useClass: Database }],
      });
      await app.init();
      await app.get(EventService).emit('job.started', 1);
      await received.atLeast(1);

      const closed = app.close();
      await turns();
      expect(received.items).toEqual([['started', 1, 1]]);
      gate.open();
      await closed;

      expect(received.items.slice(0, 2)).toEqual([
        ['started', 1, 1],
        ['finished', 1],
      ]);
      expect(received.items.slice(2).sort()).toEqual([
        'database before shutdown',
        'database before shutdown',
        'database destroyed',
        'database destroyed',
        'database shut down',
        'database shut down',
      ]);
      expect(memory.events().map(({ name }) => name)).toEqual(['job.started', 'job.done']);
    },
  );

  it('takes no more events meanwhile; they wait for the next instance', async () => {
    const app = await start({ providers: [Work] });
    await app.get(EventService).emit('job.started', 1);
    await received.atLeast(1);
    const closed = app.close();
    await memory.publishRaw('job.started', '2');
    await turns();
    gate.open();
    await closed;
    expect(received.items).toEqual([
      ['started', 1, 1],
      ['finished', 1],
    ]);

    await start({ providers: [Work] });
    expect((await received.atLeast(4)).slice(2)).toEqual([
      ['started', 2, 1],
      ['finished', 2],
    ]);
  });

  it('does not settle a failure of a handler as a dead letter while it stops: another instance gets the event', async () => {
    @Injectable()
    class Failing {
      @OnEvent('job.started', { retry: { attempts: 0 } })
      async run(_: unknown, { attempt }: EventContext): Promise<void> {
        received.add(attempt);
        await gate.opened;
        if (attempt === 1) throw new Error('the database is closing');
      }
    }
    const app = await start({ providers: [Failing] });
    await app.get(EventService).emit('job.started', 1);
    await received.atLeast(1);
    const closed = app.close();
    gate.open();
    await closed;
    await start({ providers: [Failing] });
    expect(await received.atLeast(2)).toEqual([1, 2]);
    await expect(memory.deadLetters(0)).resolves.toEqual([]);
  });

  it('waits for a handler no longer than shutdownTimeout, and hands its event back', async () => {
    const app = await start({ providers: [Work] }, { shutdownTimeout: 20 });
    await app.get(EventService).emit('job.started', 1);
    await received.atLeast(1);
    await app.close();
    expect(received.items).toEqual([['started', 1, 1]]);

    await start({ providers: [Work] });
    expect(await received.atLeast(2)).toEqual([
      ['started', 1, 1],
      ['started', 1, 2],
    ]);
    gate.open();
    await received.atLeast(3);
  });

  it('leaves no timer behind that would keep the process alive, even of a handler it has given up', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
    const before = timers();
    const app = await start({ providers: [Work] }, { shutdownTimeout: 20 });
    await app.get(EventService).emit('job.started', 1);
    await received.atLeast(1);
    await app.close();
    // Others come and go, the handler's would be there for 30 s.
    await eventually(
      async () => timers(),
      (left) => left <= before,
      (left) => `${left} timers are left, there were ${before}`,
    );
    gate.open();
  });

  it('rejects what comes too late: emit and subscribe say that the service is closed', async () => {
    const app = await start({ providers: [Work] });
    const service = app.get(EventService);
    await app.close();
    await expect(service.emit('job.started', 1)).rejects.toMatchObject({ code: 'closed' });
    await expect(service.emitMany([{ name: 'job.started', data: 1 }])).rejects.toMatchObject({
      code: 'closed',
    });
    await expect(service.subscribe('x', () => undefined)).rejects.toMatchObject({ code: 'closed' });
    expect(service.status).toMatchObject({ state: 'closed', connected: false });
    expect(memory.events()).toEqual([]);
  });

  it('can be asked for several times', async () => {
    const app = await start({ providers: [Work] });
    const service = app.get(EventService);
    gate.open();
    await Promise.all([service.drain(), service.drain()]);
    await app.close();
    expect(service.status.state).toBe('closed');
  });

  describe('while it looks for durables without a handler', () => {
    let failed: (error: Error) => void;
    const startLooking = (): ReturnType<typeof start> => {
      const transport = createMemoryTransport({
        clusterId: 'events',
        delivery: 'durable',
        logger: silentLogger,
      });
      jest
        .spyOn(transport, 'orphans')
        .mockReturnValue(new Promise((_resolve, reject) => (failed = (error) => reject(error))));
      return start({ providers: [Work] }, { transport });
    };

    it('does not tell that there was no answer: nobody waits for it any more', async () => {
      const app = await startLooking();
      await app.close();
      failed(new Error('TIMEOUT'));
      await turns();
      expect(logger.complaints).toBe('');
    });

    it('tells as long as it runs', async () => {
      await startLooking();
      failed(new Error('TIMEOUT'));
      await logger.until('warn', /could not look for durables without a handler: TIMEOUT/);
    });
  });

  it('shows in the status that it drains', async () => {
    const app = await start({ providers: [Work] });
    const service = app.get(EventService);
    await service.emit('job.started', 1);
    await received.atLeast(1);
    const closed = app.close();
    await turns();
    expect(service.status).toMatchObject({ state: 'draining', connected: true });
    await expect(service.subscribe('x', () => undefined)).rejects.toMatchObject({ code: 'closed' });
    gate.open();
    await closed;
  });
});
