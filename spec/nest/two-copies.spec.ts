import * as common from '@nestjs/common';
import * as core from '@nestjs/core';
import * as microservices from '@nestjs/microservices';
import { Test, type TestingModule } from '@nestjs/testing';
import * as own from '@venta/events';
import { silentLogger } from '../support/silent-logger';

const { Inject, Injectable, Module } = common;

/** What a library has that brings this package along in its own `node_modules`. */
const shared: Record<string, unknown> = { common, core, microservices };
let other: typeof own;
jest.isolateModules(() => {
  // Nest, which is a peer dependency, is there once.
  for (const name of ['common', 'core', 'microservices']) {
    const nest: unknown = shared[name];
    jest.doMock(`@nestjs/${name}`, () => nest);
  }
  other = jest.requireActual<typeof own>('@venta/events');
});

const register = (copy: typeof own, appName: string): ReturnType<typeof own.EventsModule.register> =>
  copy.EventsModule.register({ appName, url: 'memory://' });

const start = async (metadata: Parameters<typeof common.Module>[0]): Promise<TestingModule> => {
  const app = await Test.createTestingModule(metadata).setLogger(silentLogger).compile();
  await app.init();
  return app;
};

describe('F48 two installed copies of this package', () => {
  it('are two', () => {
    expect(other.EventService).not.toBe(own.EventService);
  });

  it('do not both register: whichever comes first, the start says that there are two', async () => {
    @Module({ imports: [register(other, 'library')] })
    class LibraryModule {}
    for (const imports of [
      [register(own, 'app'), LibraryModule],
      [LibraryModule, register(own, 'app')],
    ]) {
      await expect(start({ imports })).rejects.toThrow(
        /registered 2 times.*two installed copies.*npm ls @venta\/events/,
      );
    }
  });

  it.each(['constructor', 'factory', 'property'])(
    'the start says so where one is registered and the service of the other is injected (%s)',
    async (how) => {
      @Injectable()
      class ByConstructor {
        constructor(readonly events: own.EventService) {}
      }
      Reflect.defineMetadata('design:paramtypes', [other.EventService], ByConstructor);
      class ByProperty {
        events: unknown;
      }
      Inject(other.EventService)(ByProperty.prototype, 'events');
      const provider = {
        constructor: ByConstructor,
        property: ByProperty,
        factory: { provide: 'X', inject: [other.EventService], useFactory: (events: unknown) => events },
      }[how]!;
      @Module({ providers: [provider] })
      class LibraryModule {}
      await expect(start({ imports: [register(own, 'app'), LibraryModule] })).rejects.toThrow(
        /another copy of @venta\/events.*two copies of the package are installed.*npm ls/,
      );
      await expect(start({ imports: [LibraryModule, register(own, 'app')] })).rejects.toThrow(
        /another copy of @venta\/events/,
      );
    },
  );

  it('harm nobody as long as one is used', async () => {
    const app = await start({ imports: [register(own, 'app')] });
    await expect(app.get(own.EventService).emit('order.placed', 1)).resolves.toMatchObject({ sequence: 1 });
    await app.close();
  });

  it('work side by side in two applications of one process', async () => {
    const [one, two] = [
      await start({ imports: [register(own, 'one')] }),
      await start({ imports: [register(other, 'two')] }),
    ];
    await one.get(own.EventService).emit('order.placed', 1);
    await two.get(other.EventService).emit('order.placed', 1);
    await one.close();
    await two.close();
  });
});
