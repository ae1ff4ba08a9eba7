import { Injectable, Module, UseGuards, type CanActivate } from '@nestjs/common';
import { LazyModuleLoader } from '@nestjs/core';
import { EventService, OnEvent } from '@venta/events';
import { applications } from '../support/applications';

const { start } = applications();
let unhandled: unknown[];
const note = (reason: unknown): void => void unhandled.push(reason);
beforeEach(() => {
  unhandled = [];
  process.on('unhandledRejection', note);
});
afterEach(() => process.off('unhandledRejection', note));

class Fine {
  @OnEvent('user.created')
  handle(): void {}
}
@Injectable()
class Uncreatable implements CanActivate {
  constructor(_x: Map<string, string>) {}
  canActivate(): boolean {
    return true;
  }
}
class Wanting {
  @UseGuards(Uncreatable)
  @OnEvent('user.updated')
  wanting(): void {}
}
/** What a library wrote under Nest's key is no list; nothing of Nest looks at it, as a factory makes the instance. */
@UseGuards(
  new (class implements CanActivate {
    canActivate(): boolean {
      return true;
    }
  })(),
)
class Odd {
  @OnEvent('user.deleted')
  other(): void {}
}
Reflect.defineMetadata(
  '__guards__',
  5,
  Object.getOwnPropertyDescriptor(Odd.prototype, 'other')?.value as object,
);
const made = (...types: (new () => object)[]) =>
  types.map((type) => ({ provide: type.name, useFactory: () => new type() }));

describe('a lazily loaded module with metadata that nobody understands', () => {
  it('fails each time it is loaded, and what can be bound is', async () => {
    @Module({ providers: made(Fine, Odd) })
    class Late {}
    const app = await start({});
    const load = () =>
      app
        .get(LazyModuleLoader, { strict: false })
        .load(() => Late)
        .then(
          () => 'loaded',
          (e: Error) => e.message,
        );
    const outcomes = [await load(), await load()];
    expect([...outcomes, app.get(EventService).status.subscriptions.map(({ name }) => name)]).toEqual([
      expect.stringMatching(/iterable/),
      expect.stringMatching(/iterable/),
      ['Fine.handle'],
    ]);
  });

  it('leaves no rejection unhandled', async () => {
    @Module({ providers: made(Wanting, Odd) })
    class Late {}
    const app = await start({});
    await app
      .get(LazyModuleLoader, { strict: false })
      .load(() => Late)
      .catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
  });
});
