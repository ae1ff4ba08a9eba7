import { Controller, Inject, Injectable, Module, Scope } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { EventsConfigurationError, EventService, OnEvent, type EventContext } from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';

const { start, compile } = applications();

const boundNames = (app: TestingModule): string[] =>
  app
    .get(EventService)
    .status.subscriptions.map(({ name }) => name)
    .sort();

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('received events')));

describe('what @OnEvent finds', () => {
  it('handles an emitted event with a method of a provider, which is called on its instance', async () => {
    @Injectable()
    class Greetings {
      readonly greeting = 'Hello';
    }
    @Injectable()
    class Notifications {
      constructor(private readonly greetings: Greetings) {}
      @OnEvent('user.created')
      welcome(event: { name: string; at: Date }, context: EventContext): void {
        received.add([this.greetings.greeting, event, context.name, context.source, context.attempt]);
      }
    }
    const app = await start({ providers: [Notifications, Greetings] }, { appName: 'user service' });

    const receipt = await app.get(EventService).emit('user.created', { name: 'Ada', at: new Date(1) });

    expect(receipt).toEqual({
      id: expect.any(String) as string,
      duplicate: false,
      stream: 'events',
      sequence: 1,
    });
    expect(await received.atLeast(1)).toEqual([
      ['Hello', { name: 'Ada', at: new Date(1) }, 'user.created', 'user-service', 1],
    ]);
  });

  it('handles events with a method of a controller', async () => {
    @Controller()
    class Users {
      constructor(@Inject('PREFIX') private readonly prefix: string) {}
      @OnEvent('user.created')
      async created(event: string): Promise<void> {
        received.add(this.prefix + event);
      }
    }
    const app = await start({
      controllers: [Users],
      providers: [{ provide: 'PREFIX', useValue: '> ' }],
    });
    await app.get(EventService).emit('user.created', 'Ada');
    expect(await received.atLeast(1)).toEqual(['> Ada']);
    expect(boundNames(app)).toEqual(['Users.created']);
  });

  it('handles several names with one method, as one subscription', async () => {
    @Injectable()
    class Audit {
      @OnEvent(['user.created', 'user.deleted'])
      note(_event: unknown, { name, subscription }: EventContext): void {
        received.add([name, subscription]);
      }
    }
    const app = await start({ providers: [Audit] });
    const events = app.get(EventService);
    await events.emit('user.created', 1);
    await events.emit('user.renamed', 2);
    await events.emit('user.deleted', 3);
    expect(await received.atLeast(2)).toEqual([
      ['user.created', 'Audit.note'],
      ['user.deleted', 'Audit.note'],
    ]);
    expect(events.status.subscriptions).toMatchObject([
      { name: 'Audit.note', patterns: ['user.created', 'user.deleted'] },
    ]);
  });

  it('gives wildcards what they match and nothing else', async () => {
    const got = { one: [] as string[], rest: [] as string[], all: [] as string[] };
    @Injectable()
    class Wild {
      @OnEvent('user.*')
      one(_event: unknown, { name }: EventContext): void {
        got.one.push(name);
        received.add(name);
      }
      @OnEvent('vendor.>')
      rest(_event: unknown, { name }: EventContext): void {
        got.rest.push(name);
        received.add(name);
      }
      @OnEvent('>', { concurrency: 1 })
      all(_event: unknown, { name }: EventContext): void {
        got.all.push(name);
        received.add(name);
      }
    }
    const app = await start({ providers: [Wild] });
    const names = ['user', 'user.created', 'user.created.late', 'vendor', 'vendor.a', 'vendor.a.b', 'x'];
    for (const name of names) await app.get(EventService).emit(name, 1);
    await received.atLeast(names.length + 3);
    await app.close();
    expect(got).toEqual({ one: ['user.created'], rest: ['vendor.a', 'vendor.a.b'], all: names });
  });

  it('gives one event to every handler that listens to it', async () => {
    @Injectable()
    class Several {
      @OnEvent('order.paid')
      one(): void {
        received.add('one');
      }
      @OnEvent('order.paid')
      two(): void {
        received.add('two');
      }
    }
    const app = await start({ providers: [Several] });
    await app.get(EventService).emit('order.paid', 1);
    expect([...(await received.atLeast(2))].sort()).toEqual(['one', 'two']);
  });

  it('starts an application that handles nothing', async () => {
    const app = await start({});
    expect(boundNames(app)).toEqual([]);
    await expect(app.get(EventService).emit('user.created', 1)).resolves.toMatchObject({ sequence: 1 });
  });
});

describe('inheritance', () => {
  it('binds an inherited handler to the subclass, and again to the base if that is provided too', async () => {
    @Injectable()
    class Base {
      @OnEvent('user.created')
      handle(): void {
        received.add(this.constructor.name);
      }
    }
    @Injectable()
    class Sub extends Base {}
    const app = await start({ providers: [Base, Sub] });
    await app.get(EventService).emit('user.created', 1);
    expect([...(await received.atLeast(2))].sort()).toEqual(['Base', 'Sub']);
    expect(boundNames(app)).toEqual(['Base.handle', 'Sub.handle']);
  });

  it('binds each subclass of an abstract base to its own implementation', async () => {
    abstract class Projection {
      abstract readonly title: string;
      @OnEvent('order.paid')
      project(): void {
        received.add(this.title);
      }
    }
    @Injectable()
    class Sales extends Projection {
      readonly title = 'sales';
    }
    @Injectable()
    class Stock extends Projection {
      readonly title = 'stock';
    }
    const app = await start({ providers: [Sales, Stock] });
    await app.get(EventService).emit('order.paid', 1);
    expect([...(await received.atLeast(2))].sort()).toEqual(['sales', 'stock']);
    expect(boundNames(app)).toEqual(['Sales.project', 'Stock.project']);
  });

  it('binds an override that is decorated itself once, with its own events and options', async () => {
    @Injectable()
    class Base {
      @OnEvent('user.created')
      handle(_event: unknown, context: EventContext): void {
        received.add(['base', context.name]);
      }
    }
    @Injectable()
    class Sub extends Base {
      @OnEvent('user.deleted', { name: 'sub' })
      override handle(event: unknown, context: EventContext): void {
        super.handle(event, context);
        received.add(['sub', context.name, context.subscription]);
      }
    }
    const app = await start({ providers: [Sub] });
    await app.get(EventService).emit('user.created', 1);
    await app.get(EventService).emit('user.deleted', 1);
    expect(await received.atLeast(2)).toEqual([
      ['base', 'user.deleted'],
      ['sub', 'user.deleted', 'sub'],
    ]);
    expect(app.get(EventService).status.subscriptions).toMatchObject([
      { name: 'sub', patterns: ['user.deleted'] },
    ]);
  });

  it('does not bind an override without a decorator', async () => {
    @Injectable()
    class Base {
      @OnEvent('user.created')
      handle(): void {}
    }
    @Injectable()
    class Sub extends Base {
      override handle(): void {}
    }
    const app = await start({ providers: [Sub] });
    expect(boundNames(app)).toEqual([]);
  });
});

describe('handlers that come from elsewhere than a decorated class', () => {
  it('binds a method of a mixin to each class that is made with it', async () => {
    const withAudit = (Base: new () => object): new () => object => {
      @Injectable()
      class Audited extends Base {
        @OnEvent('order.paid')
        audit(): void {
          received.add(this.constructor.name);
        }
      }
      return Audited;
    };
    @Injectable()
    class Sales extends withAudit(class {}) {}
    @Injectable()
    class Stock extends withAudit(class {}) {}
    const app = await start({ providers: [Sales, Stock] });
    await app.get(EventService).emit('order.paid', 1);
    expect([...(await received.atLeast(2))].sort()).toEqual(['Sales', 'Stock']);
    expect(boundNames(app)).toEqual(['Sales.audit', 'Stock.audit']);
  });

  it('binds a method that was copied from the prototype of another class', async () => {
    class Audit {
      @OnEvent('order.paid')
      audit(): void {
        received.add(this.constructor.name);
      }
    }
    @Injectable()
    class Sales {}
    const copied = Object.getOwnPropertyDescriptor(Audit.prototype, 'audit') as PropertyDescriptor;
    Object.defineProperty(Sales.prototype, 'audit', copied);
    const app = await start({ providers: [Sales] });
    await app.get(EventService).emit('order.paid', 1);
    expect(await received.atLeast(1)).toEqual(['Sales']);
    expect(boundNames(app)).toEqual(['Sales.audit']);
  });

  it('binds a method that the decorator was called for by hand', async () => {
    @Injectable()
    class Sales {
      handle(): void {
        received.add('called');
      }
    }
    const descriptor = Object.getOwnPropertyDescriptor(Sales.prototype, 'handle') as TypedPropertyDescriptor<
      () => void
    >;
    OnEvent('order.paid')(Sales.prototype, 'handle', descriptor);
    const app = await start({ providers: [Sales] });
    await app.get(EventService).emit('order.paid', 1);
    expect(await received.atLeast(1)).toEqual(['called']);
    expect(boundNames(app)).toEqual(['Sales.handle']);
  });

  it('subscribes in the order of the classes, those of providers before those of controllers', async () => {
    const handles = (name: string): new () => object => {
      class Handles {
        @OnEvent('order.paid', { name })
        handle(): void {}
      }
      return Handles;
    };
    @Controller()
    class First extends handles('1 controller') {}
    @Injectable()
    class Second extends handles('2 provider') {}
    @Injectable()
    class Third extends handles('3 provider') {}
    const app = await start({ controllers: [First], providers: [Third, Second] });
    const { subscriptions } = app.get(EventService).status;
    expect(subscriptions.map(({ name }) => name)).toEqual(['3 provider', '2 provider', '1 controller']);
  });
});

describe('ways to provide a class with handlers', () => {
  @Injectable()
  class Mail {
    prefix = 'mail';
    @OnEvent('user.created')
    send(event: string): void {
      received.add(`${this.prefix}: ${event}`);
    }
  }

  const mail = (prefix: string): Mail => Object.assign(new Mail(), { prefix });

  it.each([
    ['useClass under a token', { provide: 'MAIL', useClass: Mail }, 'mail: Ada'],
    ['useFactory', { provide: 'MAIL', useFactory: () => mail('made') }, 'made: Ada'],
    ['an async useFactory', { provide: 'MAIL', useFactory: async () => mail('later') }, 'later: Ada'],
    ['useValue', { provide: Mail, useValue: mail('given') }, 'given: Ada'],
  ])('binds the instance of %s', async (_title, provider, expected) => {
    const app = await start({ providers: [provider] });
    await app.get(EventService).emit('user.created', 'Ada');
    expect(await received.atLeast(1)).toEqual([expected]);
    expect(boundNames(app)).toEqual(['Mail.send']);
  });

  it('binds a provider with aliases (useExisting) once, in whichever module they are', async () => {
    @Module({ providers: [Mail], exports: [Mail] })
    class MailModule {}
    @Module({ imports: [MailModule], providers: [{ provide: 'OTHER', useExisting: Mail }] })
    class OtherModule {}
    const app = await start({
      imports: [MailModule, OtherModule],
      providers: [
        { provide: 'FIRST', useExisting: Mail },
        { provide: 'SECOND', useExisting: 'FIRST' },
        { provide: 'BY_FACTORY', inject: [Mail], useFactory: (mail: Mail) => mail },
      ],
    });
    expect(boundNames(app)).toEqual(['Mail.send']);
    await app.get(EventService).emit('user.created', 'Ada');
    expect(await received.atLeast(1)).toEqual(['mail: Ada']);
  });

  it('refuses to start with one class provided in two modules, naming the handler and both modules', async () => {
    @Module({ providers: [Mail] })
    class SignUpModule {}
    @Module({ providers: [Mail] })
    class NewsletterModule {}
    const app = await compile({ imports: [SignUpModule, NewsletterModule] });
    const error = await app.init().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EventsConfigurationError);
    expect((error as Error).message).toMatch(
      /Mail\.send of module SignUpModule.*Mail\.send of module NewsletterModule.*provide it in one and export it/,
    );
  });

  it('refuses to start with two classes of one name that handle with the same method name', async () => {
    const make = (): new () => object => {
      @Injectable()
      class Twin {
        @OnEvent('user.created')
        handle(): void {}
      }
      return Twin;
    };
    const app = await compile({ providers: [make(), make()] });
    await expect(app.init()).rejects.toThrow(/two handlers have the identity 'Twin\.handle'.*`name`/);
  });

  it('refuses to start with two handlers of one method whose names the broker cannot tell apart', async () => {
    @Injectable()
    class Stacked {
      @OnEvent('user.created', { name: 'mail.send' })
      @OnEvent('user.deleted', { name: 'mail-send' })
      handle(): void {}
    }
    const app = await compile({ providers: [Stacked] });
    const error = await app.init().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EventsConfigurationError);
    expect((error as Error).message).toMatch(/two handlers have the identity 'mail-send': Stacked\.handle/);
  });

  it('leaves out the method of a base class that a getter hides, and does not invoke the getter', async () => {
    @Injectable()
    class Base {
      @OnEvent('user.created')
      handle(): unknown {
        return received.add('base');
      }
      @OnEvent('user.created')
      other(): void {
        received.add('other');
      }
    }
    class Hiding extends Base {}
    Object.defineProperty(Hiding.prototype, 'handle', {
      get: () => {
        throw new Error('the getter was invoked');
      },
    });
    const app = await start({ providers: [Hiding] });
    const { subscriptions } = app.get(EventService).status;
    expect(subscriptions.map(({ name }) => name)).toEqual(['Hiding.other']);
  });

  it('finds what a mixin copies into the prototype of another class', async () => {
    class Mixin {
      @OnEvent('user.created')
      handle(event: string): void {
        received.add(`mixin: ${event}`);
      }
    }
    @Injectable()
    class Target {
      @OnEvent('user.deleted')
      own(event: string): void {
        received.add(`own: ${event}`);
      }
    }
    const { handle } = Object.getOwnPropertyDescriptors(Mixin.prototype);
    Object.defineProperty(Target.prototype, 'handle', handle);
    const app = await start({ providers: [Target] });
    const { subscriptions } = app.get(EventService).status;
    expect(subscriptions.map(({ name }) => name)).toEqual(['Target.own', 'Target.handle']);
    await app.get(EventService).emit('user.created', 'Ada');
    expect(await received.atLeast(1)).toEqual(['mixin: Ada']);
  });

  it('gives handlers of a transient provider an instance with its dependencies', async () => {
    @Injectable()
    class Greetings {
      readonly greeting = 'Hello';
    }
    @Injectable({ scope: Scope.TRANSIENT })
    class Transient {
      readonly mark = 'constructed';
      constructor(private readonly greetings: Greetings) {}
      @OnEvent('user.created')
      handle(): void {
        received.add([this.mark, this.greetings?.greeting]);
      }
    }
    const app = await start({ providers: [Transient, Greetings] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([['constructed', 'Hello']]);
    expect(boundNames(app)).toEqual(['Transient.handle']);
  });
});

describe('providers that are no handlers', () => {
  it('does not stumble over symbols, getters, objects without a prototype and values', async () => {
    const invoked: string[] = [];
    const noPrototype = Object.assign(Object.create(null) as object, { key: 'value' });
    const throwing = Object.defineProperty({}, 'lazy', {
      enumerable: true,
      get: () => invoked.push('own getter'),
    });
    @Injectable()
    class Odd {
      [Symbol('method')](): void {}
      [Symbol.iterator] = (): Iterator<number> => [1][Symbol.iterator]();
      get lazy(): never {
        invoked.push('getter');
        throw new Error('a getter was invoked');
      }
      set lazy(_value: unknown) {
        invoked.push('setter');
      }
      static get lazy(): never {
        invoked.push('static getter');
        throw new Error('a getter was invoked');
      }
      @OnEvent('user.created')
      handle(event: unknown): void {
        received.add(event);
      }
    }
    const values: unknown[] = [
      null,
      undefined,
      0,
      'text',
      false,
      Symbol('s'),
      10n,
      noPrototype,
      throwing,
      () => undefined,
      Odd,
      new Map(),
      new Proxy({}, {}),
      Object.freeze([1]),
      new Date(),
    ];
    const app = await start({
      providers: [Odd, ...values.map((useValue, i) => ({ provide: `VALUE_${i}`, useValue }))],
    });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(1)).toEqual([1]);
    expect(boundNames(app)).toEqual(['Odd.handle']);
    expect(invoked).toEqual([]);
  });
});
