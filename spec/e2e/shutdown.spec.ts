import { Injectable, Module, type OnModuleDestroy, type Provider } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { EventService, OnEvent, type EventContext } from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { Gate } from '../../lib/testing/conformance/gate';
import { applications } from '../support/applications';
import { onNats } from '../support/on-nats';

const nats = onNats();
const { start, logger } = applications(() => ({
  url: nats.server.url,
  clusterId: nats.clusterId,
  retry: { delay: 20, jitter: 0 },
}));

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('what happened')));

const emitter = async (): Promise<EventService> =>
  (await start({}, { appName: 'emitter' })).get(EventService);

const problems = (): string[] =>
  logger.entries.items
    .filter(({ level }) => level === 'error' || level === 'warn')
    .map(({ message }) => message);

describe('closing an application under load', () => {
  const turn = (): Promise<void> => new Promise(setImmediate);

  @Injectable()
  class Database implements OnModuleDestroy {
    open = true;
    async query(): Promise<void> {
      if (!this.open) throw new Error('the database is closed');
      await turn();
      if (!this.open) throw new Error('the database was closed under a query');
    }
    onModuleDestroy(): void {
      this.open = false;
    }
  }
  @Module({ providers: [Database], exports: [Database] })
  class DatabaseModule {}

  function work(): Provider {
    @Injectable()
    class Work {
      constructor(
        private readonly database: Database,
        private readonly events: EventService,
      ) {}
      @OnEvent('job.started')
      async run(event: number): Promise<void> {
        await this.database.query();
        await this.events.emit('job.done', event);
        await this.database.query();
        received.add(event);
      }
    }
    return Work;
  }
  const instance = (): Promise<TestingModule> => start({ imports: [DatabaseModule], providers: [work()] });

  it('loses nothing and fails nothing while two instances are replaced one by one', async () => {
    const events = await emitter();
    const [one, two] = [await instance(), await instance()];
    const total = 3000;
    let emitted = 0;
    const emitting = (async () => {
      while (emitted < total) {
        const batch = Array.from({ length: 50 }, () => ({ name: 'job.started', data: emitted++ }));
        await events.emitMany(batch);
      }
    })();

    await received.atLeast(300);
    await one.close();
    const three = await instance();
    await received.atLeast(1200);
    await two.close();
    const four = await instance();
    await emitting;
    await received.until((items) => new Set(items).size >= total, `${total} different events`);
    await nats.settled('shop__Work-run');
    await Promise.all([three.close(), four.close()]);

    const handled = received.items as number[];
    expect(new Set(handled).size).toBe(total);
    expect(handled.length).toBe(total); // nothing crashed, so nothing was repeated either
    const done = (await nats.stored()).filter(({ subject }) => subject.endsWith('.job.done'));
    expect(new Set(done.map(({ body }) => Number(body.toString()))).size).toBe(total);
    expect(problems()).toEqual([]);
    expect(await nats.deadLetters(0)).toEqual([]);
  });

  it('hands what is buffered to another instance at once, before the handlers that run have finished', async () => {
    const gate = new Gate();
    const slow = (who: string, run: () => unknown): Provider => {
      @Injectable()
      class Slow {
        @OnEvent('job.started', { concurrency: 2 })
        async run(event: unknown): Promise<void> {
          received.add([who, event]);
          await run();
        }
      }
      return Slow;
    };
    const events = await emitter();
    const one = await start({ providers: [slow('one', () => gate.opened)] });
    for (let data = 0; data < 10; data++) await events.emit('job.started', data);
    await received.atLeast(2);
    const closed = one.close();
    await start({ providers: [slow('two', () => undefined)] });
    const all = (await received.atLeast(10)) as [string, number][];
    expect(all.filter(([who]) => who === 'one')).toHaveLength(2);
    expect(all.filter(([who]) => who === 'two')).toHaveLength(8);
    gate.open();
    await closed;
    await nats.settled('shop__Slow-run');
    expect(received.items).toHaveLength(10);
  });
});

describe('closing an application with a handler that runs', () => {
  it('waits for it, and for what it emits, before anybody is destroyed', async () => {
    const gate = new Gate();
    @Injectable()
    class Work implements OnModuleDestroy {
      constructor(private readonly events: EventService) {}
      @OnEvent('job.started')
      async run(event: unknown): Promise<void> {
        received.add('started');
        await gate.opened;
        const { sequence } = await this.events.emit('job.done', event);
        received.add(['finished', sequence]);
      }
      onModuleDestroy(): void {
        received.add('destroyed');
      }
    }
    const app = await start({ providers: [Work] });
    await app.get(EventService).emit('job.started', 1);
    await received.atLeast(1);
    const closed = app.close();
    // Another service sees the server work meanwhile.
    await emitter();
    expect(received.items).toEqual(['started']);
    gate.open();
    await closed;
    expect(received.items).toEqual(['started', ['finished', 2], 'destroyed']);
    await nats.settled('shop__Work-run');
  });

  it('waits no longer than shutdownTimeout: the event is another instance’s then', async () => {
    const gate = new Gate();
    const work = (who: string, run: () => unknown): Provider => {
      @Injectable()
      class Work {
        @OnEvent('job.started')
        async run(event: unknown, { attempt }: EventContext): Promise<void> {
          received.add([who, event, attempt]);
          await run();
        }
      }
      return Work;
    };
    const app = await start({ providers: [work('one', () => gate.opened)] }, { shutdownTimeout: 50 });
    await app.get(EventService).emit('job.started', 1);
    await received.atLeast(1);
    await app.close();
    await logger.until('warn', /1 events of 'shop__Work-run' did not finish within 50 ms; handed back/);
    await start({ providers: [work('two', () => undefined)] });
    expect(await received.atLeast(2)).toEqual([
      ['one', 1, 1],
      ['two', 1, 2],
    ]);
    gate.open();
  });
});
