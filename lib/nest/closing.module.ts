import { Injectable, Logger, Module, type OnApplicationShutdown } from '@nestjs/common';
import { EventsConfigurationError } from '../core/errors';
import type { EventService } from '../core/event-service';
import { textOf } from '../core/thrown';

/**
 * The last hook of an application: publishing ends here, when HTTP servers and microservices are closed and everybody
 * else's `onApplicationShutdown` is over.
 */
@Injectable()
export class LastHook implements OnApplicationShutdown {
  readonly #tasks: (() => unknown)[] = [];

  /** Runs `task` when everybody else has shut down. */
  add(task: () => unknown): void {
    this.#tasks.push(task);
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all(
      this.#tasks.map(async (task) => {
        try {
          await task();
        } catch (error) {
          new Logger('Events').error(`the event service did not close cleanly: ${textOf(error)}`);
        }
      }),
    );
  }
}

/** Milliseconds that the providers a `registerAsync` injects may take before a circle is assumed. */
const CIRCLE_AFTER = 10_000;

/** The service that `EventsModule.register` has made, for modules that import `EventsModule` without options. */
@Injectable()
export class RegisteredService {
  resolve!: (service: EventService) => void;
  readonly #service = new Promise<EventService>((resolve) => (this.resolve = resolve));
  #optionsBegun = false;

  /** The providers that `registerAsync` injects exist: none of them waits for the service. */
  beginOptions(): void {
    this.#optionsBegun = true;
  }

  /** @throws EventsConfigurationError when the options of the service wait for a provider that waits for the service */
  async get(): Promise<EventService> {
    let timer: NodeJS.Timeout | undefined;
    const circle = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        if (!this.#optionsBegun) reject(circularOptions());
      }, CIRCLE_AFTER);
    });
    try {
      return await Promise.race([this.#service, circle]);
    } finally {
      clearTimeout(timer);
    }
  }
}

const circularOptions = (): EventsConfigurationError =>
  new EventsConfigurationError(
    'registerAsync',
    `the options of EventsModule.registerAsync do not come within ${CIRCLE_AFTER / 1000} s: a provider that it injects ` +
      'probably needs EventService itself, through a module that imports EventsModule without options. Make the options ' +
      'from providers that do not need EventService',
  );

/**
 * A module of its own: Nest runs all shutdown hooks in one order of modules, and `EventsModule` is the first in it. All
 * `EventsModule`s of an application share it.
 */
@Module({ providers: [LastHook, RegisteredService], exports: [LastHook, RegisteredService] })
export class ClosingModule {}
