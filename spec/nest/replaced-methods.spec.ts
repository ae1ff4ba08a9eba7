import {
  Injectable,
  Scope,
  SetMetadata,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { EventService, OnEvent } from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';

const { start, compile, logger } = applications();

type Anything = (this: object, ...args: unknown[]) => unknown;

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('calls')));

/** Replaces the function and copies no metadata, as decorators of applications do. */
const Traced =
  (label = 'traced'): MethodDecorator =>
  (_target, _key, descriptor) => {
    const method = descriptor.value as Anything;
    descriptor.value = function (this: object, ...args: unknown[]) {
      received.add(label);
      return method.apply(this, args);
    } as never;
  };

/** Replaces the method by a getter that binds it. */
const Bound = (): MethodDecorator => (_target, _key, descriptor) => {
  const method = descriptor.value as unknown as Anything;
  return { configurable: true, get: (): never => ((...args: unknown[]) => method.apply({}, args)) as never };
};

const wrapAll = (type: { prototype: object }, names: readonly string[]): void => {
  for (const name of names) {
    const method = Reflect.get(type.prototype, name) as Anything;
    Reflect.set(type.prototype, name, function (this: object, ...args: unknown[]) {
      received.add('traced');
      return method.apply(this, args);
    });
  }
};

/** A class decorator that wraps the methods of the class. */
const TracedClass = (): ClassDecorator => (type) =>
  wrapAll(
    type,
    Object.getOwnPropertyNames(type.prototype as object).filter((name) => name !== 'constructor'),
  );

async function handledBy(type: new () => object): Promise<readonly unknown[]> {
  const app = await start({ providers: [type] });
  await app.get(EventService).emit('user.created', 'Ada');
  await received.until((all) => all.some((each) => each === 'handled'), 'the handler');
  return received.items;
}

describe('F34 a method that was replaced after @OnEvent', () => {
  it('is bound as it is now when a decorator above replaced it', async () => {
    @Injectable()
    class Handlers {
      @Traced()
      @OnEvent('user.created')
      on(): void {
        received.add('handled');
      }
    }
    expect(await handledBy(Handlers)).toEqual(['traced', 'handled']);
  });

  it('is bound as it is now when a class decorator wrapped all methods', async () => {
    @TracedClass()
    @Injectable()
    class Handlers {
      @OnEvent('user.created')
      on(): void {
        received.add('handled');
      }
    }
    expect(await handledBy(Handlers)).toEqual(['traced', 'handled']);
  });

  it('is bound as it is now when a class decorator extended the class', async () => {
    const Extended = (): ClassDecorator =>
      ((type: new () => { on(): void }) => {
        const extended = class extends type {
          override on(): void {
            received.add('traced');
            super.on();
          }
        };
        Object.defineProperty(extended, 'name', { value: type.name });
        return extended;
      }) as never;
    @Extended()
    @Injectable()
    class Handlers {
      @OnEvent('user.created')
      on(): void {
        received.add('handled');
      }
    }
    expect(await handledBy(Handlers)).toEqual(['traced', 'handled']);
  });

  it('is bound when it is inherited and the class decorator of a subclass wrapped it', async () => {
    class Base {
      @OnEvent('user.created')
      on(): void {
        received.add('handled');
      }
    }
    @Injectable()
    class Sub extends Base {}
    wrapAll(Sub, ['on']);
    expect(await handledBy(Sub)).toEqual(['traced', 'handled']);
  });

  it('is bound when it became a getter', async () => {
    @Injectable()
    class Handlers {
      @Bound()
      @OnEvent('user.created')
      on(): void {
        received.add('handled');
      }
    }
    expect(await handledBy(Handlers)).toEqual(['handled']);
  });

  it('is bound in a class that is made for each event', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Handlers {
      @Traced()
      @OnEvent('user.created')
      on(): void {
        received.add('handled');
      }
    }
    expect(await handledBy(Handlers)).toEqual(['traced', 'handled']);
  });

  it('keeps the events of stacked decorators with a wrapper between them', async () => {
    @Injectable()
    class Handlers {
      @OnEvent('user.created')
      @Traced()
      @OnEvent('user.deleted')
      on(): void {
        received.add('handled');
      }
    }
    const app = await start({ providers: [Handlers] });
    expect(app.get(EventService).status.subscriptions).toMatchObject([
      { name: 'Handlers.on', patterns: ['user.created', 'user.deleted'] },
    ]);
  });

  it('keeps the guards and the metadata of the function that was decorated, and those of its replacement', async () => {
    class RoleGuard implements CanActivate {
      constructor(private readonly reflector: Reflector) {}
      canActivate(host: ExecutionContext): boolean {
        received.add(['inner', this.reflector.get<string>('role', host.getHandler())]);
        return true;
      }
    }
    Injectable()(RoleGuard);
    Reflect.defineMetadata('design:paramtypes', [Reflector], RoleGuard);
    class Outer implements CanActivate {
      canActivate(): boolean {
        received.add('outer');
        return true;
      }
    }
    @Injectable()
    class Handlers {
      @UseGuards(Outer)
      @Traced()
      @SetMetadata('role', 'admin')
      @UseGuards(RoleGuard)
      @OnEvent('user.created')
      on(): void {
        received.add('handled');
      }
    }
    expect(await handledBy(Handlers)).toEqual([['inner', 'admin'], 'outer', 'traced', 'handled']);
  });

  it.each<[string, (prototype: object) => unknown]>([
    ['removed', (prototype) => Reflect.deleteProperty(prototype, 'on')],
    ['replaced by a value', (prototype) => Reflect.set(prototype, 'on', 5)],
  ])('fails the start, naming it, when it was %s', async (_title, spoil) => {
    @Injectable()
    class Handlers {
      @OnEvent('user.created')
      on(): void {}
    }
    spoil(Handlers.prototype);
    const app = await compile({ providers: [Handlers] });
    await expect(app.init()).rejects.toMatchObject({
      code: 'invalid_configuration',
      message: expect.stringMatching(/^Handlers\.on handles events, but it is no method any more/) as string,
    });
  });

  it('is not bound, without a word, where a subclass overrides it in its own body', async () => {
    class Base {
      @OnEvent('user.created')
      on(): void {}
    }
    @Injectable()
    class Sub extends Base {
      override on(): void {}
    }
    const app = await start({ providers: [Sub] });
    expect(app.get(EventService).status.subscriptions).toEqual([]);
    expect(logger.text).not.toMatch(/Sub/);
  });
});

describe('@OnEvent on what is no method of an instance says so', () => {
  const decorate = OnEvent('user.created', { decorated: true }) as (...args: unknown[]) => void;
  class Target {
    get value(): number {
      return 1;
    }
    static fixed(): void {}
  }
  it.each<[string, unknown[], RegExp]>([
    ['a class', [Target], /^@OnEvent is on the class Target: put it on the method/],
    ['a property', [Target.prototype, 'field', undefined], /^@OnEvent is on the property Target\.field/],
    [
      'a getter',
      [Target.prototype, 'value', Object.getOwnPropertyDescriptor(Target.prototype, 'value')],
      /^@OnEvent is on Target\.value, which is a getter or setter/,
    ],
    ['a static method', [Target, 'fixed', {}], /^@OnEvent is on a static method, Target\.fixed/],
    ['a symbol', [Target.prototype, Symbol('s'), {}], /^@OnEvent is on a method named by a symbol/],
    [
      'a standard decorator of a method',
      [() => {}, { kind: 'method', name: 'on' }],
      /the method 'on' runs as a standard decorator \(stage 3\).*`experimentalDecorators: true`/,
    ],
    [
      'a standard decorator of a class',
      [Target, { kind: 'class', name: 'Target' }],
      /the class 'Target' runs as a standard decorator/,
    ],
    [
      'a standard decorator of a field',
      [undefined, { kind: 'field', name: 'on' }],
      /the field 'on' runs as a standard decorator/,
    ],
  ])('%s', (_title, args, message) => {
    let error: unknown;
    try {
      decorate(...args);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({
      code: 'invalid_configuration',
      option: 'OnEvent',
      message: expect.stringMatching(message) as string,
    });
  });
});
