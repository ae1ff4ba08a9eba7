import 'reflect-metadata';
import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { EventsModule, type EventsModuleOptions } from '@venta/events';
import { RecordingLogger } from './recording-logger';

// Longer than the patience of a `Collector`, whose message says what did not come.
jest.setTimeout(30_000);

/** Starts Nest applications for the tests of one file, and closes after each test what is still open. */
export interface Applications {
  /** What the package logged in this test. */
  readonly logger: RecordingLogger;
  /** A module tree with the events module in front of `metadata.imports`, compiled and not initialised. */
  readonly compile: (
    metadata: ModuleMetadata,
    options?: Partial<EventsModuleOptions>,
  ) => Promise<TestingModule>;
  /** The same, initialised. */
  readonly start: (
    metadata: ModuleMetadata,
    options?: Partial<EventsModuleOptions>,
  ) => Promise<TestingModule>;
  /** A module tree without the events module, compiled and not initialised. */
  readonly compileBare: (metadata: ModuleMetadata) => Promise<TestingModule>;
}

/** @param defaults of each application's options; by default a private memory broker and quick retries */
export function applications(defaults: () => Partial<EventsModuleOptions> = () => ({})): Applications {
  const open = new Set<TestingModule>();
  const logger = new RecordingLogger();

  const compileBare = async (metadata: ModuleMetadata): Promise<TestingModule> => {
    const app = await Test.createTestingModule(metadata).setLogger(logger).compile();
    const { init, close } = { init: app.init.bind(app), close: app.close.bind(app) };
    open.add(app);
    app.init = async () => {
      try {
        return await init();
      } catch (error) {
        open.delete(app); // Nest refuses to close an application that did not start
        throw error;
      }
    };
    app.close = async (signal) => {
      open.delete(app);
      await close(signal);
    };
    return app;
  };
  const compile: Applications['compile'] = (metadata, options) =>
    compileBare({
      ...metadata,
      imports: [EventsModule.register(withDefaults(defaults(), options)), ...(metadata.imports ?? [])],
    });

  afterEach(async () => {
    await Promise.all([...open].map((app) => app.close()));
    logger.clear();
  });

  return {
    logger,
    compile,
    compileBare,
    start: async (metadata, options) => {
      const app = await compile(metadata, options);
      await app.init();
      return app;
    },
  };
}

const withDefaults = (
  defaults: Partial<EventsModuleOptions>,
  options: Partial<EventsModuleOptions> = {},
): EventsModuleOptions => ({
  appName: 'shop',
  url: 'memory://',
  retry: { delay: 1, jitter: 0 },
  ...defaults,
  ...options,
});
