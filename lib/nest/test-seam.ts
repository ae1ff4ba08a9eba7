import type { Clock } from '../core/clock';
import type { Stage } from '../core/middleware';
import type { EventTransport } from '../core/transport';
import type { MemoryTransport } from '../transports/memory';
import type { EventsModuleOptions } from './options/options';

/**
 * Where a test takes hold of an application: `EventsTestingModule` provides it under `TEST_SEAM`, nothing else does. The
 * module then uses the memory transport, and looks at no environment variable.
 */
export interface TestSeam {
  /** What the test makes of the application's options. */
  options(given: EventsModuleOptions): EventsModuleOptions;
  readonly clock: Clock;
  /** Around everything else that happens to an event. */
  readonly outermost: Stage;
  /** Between everything else and the handler. */
  readonly innermost: Stage;
  /** The transport to use instead, around the one that exists. */
  observe(transport: MemoryTransport): EventTransport;
}

export const TEST_SEAM = Symbol('EVENTS_TEST_SEAM');
