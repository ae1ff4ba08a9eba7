import { Controller, Inject, Injectable, Module, Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { EventsConfigurationError, EventService, OnEvent, type EventContext } from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';
import { sharedMemory } from '../support/shared-memory';

const memory = sharedMemory();
const { start, compile } = applications(() => ({ url: memory.url }));

let received: Collector<unknown>;
let instances: object[];
beforeEach(() => {
  received = new Collector('received events');
  instances = [];
});

describe('handlers of request-scoped classes', () => {
  @Injectable()
  class Greetings {
    readonly greeting = 'Hello';
  }
  @Injectable({ scope: Scope.REQUEST })
  class Scoped {
    constructor(
      private readonly greetings: Greetings,
      @Inject(REQUEST) private readonly request: EventContext,
    ) {
      instances.push(this);
    }
    @OnEvent('user.created')
    handle(event: unknown, context: EventContext): void {
      received.add([event, this.greetings.greeting, this.request.id === context.id]);
    }
  }

  it('run on an instance for each event, whose REQUEST is the context of the event', async () => {
    const app = await start({ providers: [Scoped, Greetings] });
    expect(instances).toHaveLength(0);
    await app.get(EventService).emit('user.created', 1);
    await app.get(EventService).emit('user.created', 2);
    expect([...(await received.atLeast(2))].sort()).toEqual([
      [1, 'Hello', true],
      [2, 'Hello', true],
    ]);
    expect(new Set(instances).size).toBe(2);
    expect(app.get(EventService).status.subscriptions).toMatchObject([{ name: 'Scoped.handle' }]);
  });

  it('are bound once under their token and its aliases', async () => {
    const app = await start({
      providers: [
        { provide: 'SCOPED', useClass: Scoped, scope: Scope.REQUEST },
        { provide: 'ALIAS', useExisting: 'SCOPED' },
        Greetings,
      ],
    });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([[1, 'Hello', true]]);
    expect(app.get(EventService).status.subscriptions).toMatchObject([{ name: 'Scoped.handle' }]);
  });

  it('need names of their own when one class is provided in two modules', async () => {
    @Module({ providers: [Scoped, Greetings] })
    class OneModule {}
    @Module({ providers: [Scoped, Greetings] })
    class OtherModule {}
    const app = await compile({ imports: [OneModule, OtherModule] });
    const error = await app.init().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EventsConfigurationError);
    expect((error as Error).message).toMatch(/Scoped\.handle of module OneModule.*of module OtherModule/);
  });

  it('run on an instance for each event of a controller, too', async () => {
    @Controller({ path: 'users', scope: Scope.REQUEST })
    class Users {
      constructor() {
        instances.push(this);
      }
      @OnEvent('user.*')
      handle(): void {
        received.add(instances.indexOf(this));
      }
    }
    const app = await start({ controllers: [Users] });
    await app.get(EventService).emit('user.created', 1);
    await app.get(EventService).emit('user.deleted', 1);
    expect([...(await received.atLeast(2))].sort()).toEqual([0, 1]);
  });

  it('run on an instance for each event where a dependency is request-scoped (scope bubbling)', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Transaction {
      constructor() {
        instances.push(this);
      }
    }
    @Injectable()
    class Repository {
      constructor(readonly transaction: Transaction) {}
    }
    @Injectable()
    class Bubbled {
      readonly mark = 'constructed';
      constructor(
        private readonly repository: Repository,
        private readonly transaction: Transaction,
      ) {}
      @OnEvent('user.created')
      handle(): void {
        received.add([
          this.mark,
          instances.indexOf(this.transaction),
          this.repository.transaction === this.transaction,
        ]);
      }
    }
    const app = await start({ providers: [Bubbled, Repository, Transaction] });
    await app.get(EventService).emit('user.created', 1);
    await app.get(EventService).emit('user.created', 2);
    expect([...(await received.atLeast(2))].sort()).toEqual([
      ['constructed', 0, true],
      ['constructed', 1, true],
    ]);
    expect(instances).toHaveLength(2);
  });

  it('inherit handlers like others', async () => {
    abstract class Base {
      @OnEvent('user.created')
      handle(): void {
        received.add(this.constructor.name);
      }
    }
    @Injectable({ scope: Scope.REQUEST })
    class Sub extends Base {}
    const app = await start({ providers: [Sub] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual(['Sub']);
  });

  it('emit what follows from the event with its correlation', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Chain {
      constructor(private readonly events: EventService) {}
      @OnEvent('user.created')
      async first(): Promise<void> {
        await this.events.emit('user.welcomed', 1);
      }
      @OnEvent('user.welcomed')
      second(_: unknown, { correlationId, causationId }: EventContext): void {
        received.add([correlationId, causationId]);
      }
    }
    const app = await start({ providers: [Chain] });
    await app.get(EventService).emit('user.created', 1, { id: 'first', correlationId: 'all' });
    expect(await received.atLeast(1)).toEqual([['all', 'first']]);
  });

  it('fail the attempt when the instance cannot be made, and get the event again', async () => {
    let constructed = 0;
    @Injectable({ scope: Scope.REQUEST })
    class Unlucky {
      constructor() {
        if (++constructed < 3) throw new Error('the tenant is unknown');
      }
      @OnEvent('user.created')
      handle(_: unknown, { attempt }: EventContext): void {
        received.add(attempt);
      }
    }
    const app = await start({ providers: [Unlucky] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([3]);
  });
});
