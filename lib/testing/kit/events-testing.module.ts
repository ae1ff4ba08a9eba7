import {
  Inject,
  Module,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnModuleInit,
} from '@nestjs/common';
import { EventsConfigurationError } from '../../core/errors';
import { EventsModule, TEST_SEAM, type EventsModuleOptions, type TestSeam } from '../../nest';
import type { Observation } from './observation';
import { ObservedTransport } from './observed-transport';
import { observationOf, TestEvents } from './test-events';
import type { TestOptions } from './test-options';

/** What `EventsModule.register` takes, with nothing required, and how events are treated in the test. */
export interface EventsTestingOptions extends EventsModuleOptions {
  /** Or the `TestEvents` of another application, to join it. Default: a broker of its own, nothing fails on purpose. */
  test?: TestOptions | TestEvents;
}

interface Seam extends TestSeam {
  /** Whether an `EventsModule` has taken it. */
  readonly used: boolean;
}

/**
 * The events of an application in a test: handlers, middleware, contracts and retries as they are, on the memory transport,
 * with a clock that the test moves. No environment variable is looked at; `url`, `transport` and `connection` have no
 * effect, `appName` is by default `test`, and `retry.jitter` 0.
 */
@Module({})
export class EventsTestingModule implements OnModuleInit, OnApplicationBootstrap {
  constructor(
    private readonly events: TestEvents,
    @Inject(TEST_SEAM) private readonly seam: Seam,
  ) {}

  /**
   * In the place of `EventsModule.register`.
   * @throws EventsConfigurationError naming the option of `test` that is wrong
   */
  static register(options: EventsTestingOptions = {}): DynamicModule {
    const { isGlobal } = options;
    const kit = moduleOf(options);
    const real = EventsModule.register(isGlobal === undefined ? {} : { isGlobal });
    return { ...kit, imports: [real], exports: [...(kit.exports ?? []), EventsModule] };
  }

  /**
   * Beside the `EventsModule` that the application under test registers itself, with its options; those given here have
   * precedence.
   * @throws EventsConfigurationError naming the option of `test` that is wrong
   */
  static override(options: EventsTestingOptions = {}): DynamicModule {
    return moduleOf(options);
  }

  /** @throws EventsConfigurationError if there is nothing to override */
  onModuleInit(): void {
    if (this.seam.used) return;
    throw new EventsConfigurationError(
      'EventsTestingModule',
      'EventsTestingModule.override found no EventsModule in this application: import the module that registers it as ' +
        'well, or use EventsTestingModule.register',
    );
  }

  onApplicationBootstrap(): void {
    observationOf(this.events).started();
  }
}

function moduleOf({ test, ...options }: EventsTestingOptions): DynamicModule {
  const events = test instanceof TestEvents ? test : new TestEvents(test);
  return {
    module: EventsTestingModule,
    global: true,
    providers: [
      { provide: TestEvents, useValue: events },
      { provide: TEST_SEAM, useValue: seamOf(observationOf(events), options) },
    ],
    exports: [TestEvents, TEST_SEAM],
  };
}

function seamOf(observation: Observation, own: EventsModuleOptions): Seam {
  const { clock, outermost, innermost, url } = observation;
  let used = false;
  return {
    get used() {
      return used;
    },
    clock,
    outermost,
    innermost,
    options: (given) => {
      const {
        url: _url,
        transport: _transport,
        connection: _connection,
        ...merged
      } = { ...given, ...set(own) };
      return {
        appName: 'test',
        ...set(merged),
        // Chance would make a test fail now and then.
        retry: { ...given?.retry, jitter: 0, ...set(own.retry ?? {}) },
        url,
      };
    },
    observe: (transport) => {
      used = true;
      return new ObservedTransport(transport, observation);
    },
  };
}

/** Without what is `undefined`, which counts as not set. */
const set = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
