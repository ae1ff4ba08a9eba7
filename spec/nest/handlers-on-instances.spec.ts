import {
  Injectable,
  Scope,
  SetMetadata,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
  type OnModuleInit,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { EventService, OnEvent } from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';

const { start, compile } = applications();

let received: Collector<unknown>;
beforeEach(() => {
  received = new Collector('received');
});

const Role = (role: string): MethodDecorator => SetMetadata('role', role);

@Injectable()
class RoleGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}
  canActivate(host: ExecutionContext): boolean {
    received.add(['role', this.reflector.get<string>('role', host.getHandler())]);
    return true;
  }
}

@Injectable()
class Plain {
  @OnEvent('user.created')
  handle(event: unknown): void {
    received.add(['real', event]);
  }
}

@Injectable()
class Guarded {
  @Role('admin')
  @UseGuards(RoleGuard)
  @OnEvent('user.created')
  handle(event: unknown): void {
    received.add(['real', event]);
  }
}

describe('a method that the instance has in place of that of its class', () => {
  describe.each([
    ['without enhancers', Plain, []],
    ['with enhancers', Guarded, [['role', 'admin']]],
  ])('%s', (_title, Handler, guard: unknown[]) => {
    it.each(['before', 'after'])('is called when it is a spy made %s the start', async (when) => {
      const app = await compile({ providers: [Handler] });
      const spyOn = (): jest.SpyInstance =>
        jest.spyOn(app.get<Plain>(Handler), 'handle').mockImplementation((event) => {
          received.add(['spy', event]);
        });
      const early = when === 'before' ? spyOn() : undefined;
      await app.init();
      const spy = early ?? spyOn();
      await app.get(EventService).emit('user.created', 1);
      expect(await received.atLeast(guard.length + 1)).toEqual([...guard, ['spy', 1]]);
      expect(spy).toHaveBeenCalledTimes(1);

      spy.mockRestore();
      await app.get(EventService).emit('user.created', 2);
      expect((await received.atLeast(2 * (guard.length + 1))).slice(-1)).toEqual([['real', 2]]);
    });
  });

  it('is called on the instance, when it wraps that of the class', async () => {
    @Injectable()
    class Wrapped extends Plain implements OnModuleInit {
      onModuleInit(): void {
        const real = this.handle.bind(this);
        this.handle = (event) => {
          received.add(['around', event]);
          real(event);
        };
      }
    }
    const app = await start({ providers: [Wrapped] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(2)).toEqual([
      ['around', 1],
      ['real', 1],
    ]);
  });

  it.each([
    ['a request-scoped', Scope.REQUEST],
    ['a transient', Scope.TRANSIENT],
  ])('of %s class leaves its guards the metadata of the method in the class', async (_title, scope) => {
    @Injectable({ scope })
    class Wrapped {
      constructor() {
        const real = this.handle.bind(this);
        this.handle = (event) => {
          received.add(['around', event]);
          real(event);
        };
      }
      @Role('admin')
      @UseGuards(RoleGuard)
      @OnEvent('user.created')
      handle(event: unknown): void {
        received.add(['real', event]);
      }
    }
    const app = await start({ providers: [Wrapped] });
    await app.get(EventService).emit('user.created', 1);
    expect(await received.atLeast(3)).toEqual([
      ['role', 'admin'],
      ['around', 1],
      ['real', 1],
    ]);
  });
});
