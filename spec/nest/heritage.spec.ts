import { inherits } from 'node:util';
import { Injectable, UseGuards, type CanActivate } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { EventService, OnEvent } from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';

const { start } = applications();

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('handled')));

/** As code for ES5 inherits: Nest's metadata finds such a base, and so must we. */
describe('a class that inherits by prototypes alone', () => {
  it('is guarded by the guards of its base', async () => {
    const asked = new Collector<string>('guards asked');
    class Deny implements CanActivate {
      canActivate(): boolean {
        asked.add('asked');
        return false;
      }
    }
    @UseGuards(Deny)
    class Base {}
    @Injectable()
    class Handlers {
      @OnEvent('user.created')
      handle(event: unknown): void {
        received.add(event);
      }
    }
    inherits(Handlers, Base);
    const app = await start({ providers: [Handlers] });
    await app.get(EventService).emit('user.created', 1);
    await asked.atLeast(1);
    expect(received.items).toEqual([]);
  });

  it('takes its arguments as the parameters of its base are decorated', async () => {
    class Base {
      @OnEvent('user.created', { decorated: true })
      handle(@Payload('name') name: unknown): void {
        received.add(name);
      }
    }
    @Injectable()
    class Handlers {}
    inherits(Handlers, Base);
    const app = await start({ providers: [Handlers] });
    await app.get(EventService).emit('user.created', { name: 'Ada' });
    expect(await received.atLeast(1)).toEqual(['Ada']);
  });
});

it('a provider is asked for no value of its prototype: a configuration may refuse to be read', async () => {
  const strict = new Proxy(
    { password: 'secret' },
    {
      get: (target, key) => {
        if (key === 'password') throw new Error('read the password');
        return Reflect.get(target, key) as unknown;
      },
    },
  );
  const app = await start({ providers: [{ provide: 'CONFIG', useValue: Object.create(strict) as object }] });
  expect(app.get(EventService).status.state).toBe('running');
});
