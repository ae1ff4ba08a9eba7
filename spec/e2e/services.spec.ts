import { Controller, Injectable, Scope, type Provider } from '@nestjs/common';
import { defineEvent, EventService, OnEvent, type EventContext } from '@venta/events';
import { z } from 'zod';
import { Collector } from '../../lib/testing/conformance/collector';
import { Gate } from '../../lib/testing/conformance/gate';
import { applications } from '../support/applications';
import { onNats } from '../support/on-nats';

const nats = onNats();
const { start } = applications(() => ({
  url: nats.server.url,
  clusterId: nats.clusterId,
  retry: { delay: 20, jitter: 0 },
}));

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('what happened')));

describe.each(['durable', 'ephemeral'] as const)('services with %s delivery', (delivery) => {
  it('work together: three services, one cause', async () => {
    @Injectable()
    class Users {
      constructor(private readonly events: EventService) {}
      create(email: string): Promise<unknown> {
        return this.events.emit('user.created', { email, at: new Date(1) }, { id: 'user-1' });
      }
    }
    @Injectable()
    class Notifications {
      constructor(private readonly events: EventService) {}
      @OnEvent('user.created')
      async welcome(event: { email: string; at: Date }, context: EventContext): Promise<void> {
        if (context.attempt < 3) throw new Error('the mail server is busy');
        await this.events.emit('mail.sent', { to: event.email, of: event.at });
      }
    }
    @Controller()
    class Audit {
      @OnEvent(['user.*', 'mail.>'], { concurrency: 1 })
      note(event: unknown, { name, source, correlationId, causationId }: EventContext): void {
        received.add({ name, source, event, causationId, correlationId });
      }
    }
    await start({ controllers: [Audit] }, { appName: 'audit', delivery });
    await start({ providers: [Notifications] }, { appName: 'notification service', delivery });
    const users = await start({ providers: [Users] }, { appName: 'user-service', delivery });

    await users.get(Users).create('ada@example.org');

    const all = (await received.atLeast(2)) as { name: string; causationId: string | undefined }[];
    expect(all).toEqual([
      {
        name: 'user.created',
        source: 'user-service',
        event: { email: 'ada@example.org', at: new Date(1) },
        correlationId: 'user-1',
        causationId: undefined,
      },
      {
        name: 'mail.sent',
        source: 'notification-service',
        event: { to: 'ada@example.org', of: new Date(1) },
        correlationId: 'user-1',
        causationId: 'user-1',
      },
    ]);
  });

  it('compete as instances: each event is handled by one of them, and both take part', async () => {
    const instance = (who: string): Provider => {
      @Injectable()
      class Work {
        @OnEvent('job.*')
        run(event: unknown): void {
          received.add([who, event]);
        }
      }
      return Work;
    };
    await start({ providers: [instance('a')] }, { delivery });
    await start({ providers: [instance('b')] }, { delivery });
    const emitter = await start({}, { appName: 'emitter', delivery });
    const data = Array.from({ length: 500 }, (_, i) => i);
    await emitter.get(EventService).emitMany(data.map((each) => ({ name: 'job.started', data: each })));

    const all = (await received.atLeast(500)) as [string, number][];
    expect(all.map(([, each]) => each).sort((a, b) => a - b)).toEqual(data);
    expect(new Set(all.map(([who]) => who))).toEqual(new Set(['a', 'b']));
  });

  it('broadcast: every instance gets each event', async () => {
    const instance = (who: string): Provider => {
      @Injectable()
      class Caches {
        @OnEvent('price.changed', { broadcast: true })
        evict(event: number): void {
          received.add(`${who} ${event}`);
        }
      }
      return Caches;
    };
    const one = await start({ providers: [instance('one')] }, { delivery });
    await start({ providers: [instance('two')] }, { delivery });
    await one.get(EventService).emit('price.changed', 1);
    await one.get(EventService).emit('price.changed', 2);
    expect([...(await received.atLeast(4))].sort()).toEqual(['one 1', 'one 2', 'two 1', 'two 2']);
  });

  it('emit only with consume: false', async () => {
    const handlers = (who: string): Provider => {
      @Injectable()
      class Handlers {
        @OnEvent('job.started')
        run(event: unknown): void {
          received.add([who, event]);
        }
      }
      return Handlers;
    };
    await start({ providers: [handlers('service')] }, { delivery });
    const script = await start({ providers: [handlers('script')] }, { delivery, consume: false });
    for (const data of [1, 2, 3]) await script.get(EventService).emit('job.started', data);
    expect([...(await received.atLeast(3))].sort()).toEqual([
      ['service', 1],
      ['service', 2],
      ['service', 3],
    ]);
  });

  it('have an instance of a request-scoped class for each event', async () => {
    let instances = 0;
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      readonly number = ++instances;
      @OnEvent('job.started')
      run(event: unknown): void {
        received.add([this.number, event]);
      }
    }
    const app = await start({ providers: [Scoped] }, { delivery });
    await app.get(EventService).emit('job.started', 'a');
    await received.atLeast(1);
    await app.get(EventService).emit('job.started', 'b');
    expect(await received.atLeast(2)).toEqual([
      [1, 'a'],
      [2, 'b'],
    ]);
  });

  it('pass middleware and contracts on both sides', async () => {
    const events = [
      defineEvent('order.paid', { schema: z.object({ amount: z.string().transform(Number) }) }),
    ];
    const tenant = {
      publish: (event: { headers: Record<string, string> }, next: () => Promise<never>) => {
        event.headers['x-tenant'] = 'acme';
        return next();
      },
    };
    @Injectable()
    class Orders {
      @OnEvent('order.paid')
      paid(event: unknown, { headers }: EventContext): void {
        received.add([event, headers['x-tenant']]);
      }
    }
    await start({ providers: [Orders] }, { delivery, events });
    const emitter = await start({}, { appName: 'till', delivery, events, middleware: [tenant] });
    await expect(emitter.get(EventService).emit('order.paid', { amount: 5 })).rejects.toMatchObject({
      code: 'validation_failed',
      issues: [{ path: '/amount' }],
    });
    await emitter.get(EventService).emit('order.paid', { amount: '5' });
    expect(await received.atLeast(1)).toEqual([[{ amount: 5 }, 'acme']]);
  });

  it('show their state, and reject what comes too late', async () => {
    const gate = new Gate();
    @Injectable()
    class Work {
      @OnEvent(['job.a', 'job.b'])
      async run(event: unknown): Promise<void> {
        received.add(event);
        await gate.opened;
      }
    }
    const app = await start({ providers: [Work] }, { delivery });
    const service = app.get(EventService);
    await service.emit('job.a', 1);
    await received.atLeast(1);
    expect(service.status).toEqual({
      state: 'running',
      connected: true,
      problems: [],
      subscriptions: [
        {
          name: 'Work.run',
          patterns: ['job.a', 'job.b'],
          running: 1,
          succeeded: 0,
          retried: 0,
          deadLettered: 0,
        },
      ],
    });
    gate.open();
    await app.close();
    expect(service.status).toMatchObject({
      state: 'closed',
      connected: false,
      problems: [],
      subscriptions: [{ running: 0, succeeded: 1 }],
    });
    await expect(service.emit('job.a', 2)).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('a service with both deliveries', () => {
  it('reads with an ephemeral handler what others publish durably', async () => {
    @Injectable()
    class Both {
      @OnEvent('price.changed', { delivery: 'ephemeral' })
      show(event: unknown): void {
        received.add(['ephemeral', event]);
      }
      @OnEvent('price.changed')
      store(event: unknown): void {
        received.add(['durable', event]);
      }
    }
    await start({ providers: [Both] });
    const emitter = await start({}, { appName: 'emitter' });
    await emitter.get(EventService).emit('price.changed', 1);
    expect([...(await received.atLeast(2))].sort()).toEqual([
      ['durable', 1],
      ['ephemeral', 1],
    ]);
  });

  it('does not keep events for an ephemeral handler that is not there', async () => {
    const ephemeral = (): Provider => {
      @Injectable()
      class Screen {
        @OnEvent('price.changed', { delivery: 'ephemeral', startFrom: 'first' })
        show(event: unknown): void {
          received.add(event);
        }
      }
      return Screen;
    };
    const emitter = await start({}, { appName: 'emitter' });
    await emitter.get(EventService).emit('price.changed', 1);
    const app = await start({ providers: [ephemeral()] });
    await emitter.get(EventService).emit('price.changed', 2);
    expect(await received.atLeast(1)).toEqual([2]);
    await app.close();
    await emitter.get(EventService).emit('price.changed', 3);
    await start({ providers: [ephemeral()] });
    await emitter.get(EventService).emit('price.changed', 4);
    expect(await received.atLeast(2)).toEqual([2, 4]);
  });
});
