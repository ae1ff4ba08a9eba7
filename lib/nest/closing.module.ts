import { Injectable, Logger, Module, type OnApplicationShutdown } from '@nestjs/common';
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

/** The service that `EventsModule.register` has made, for modules that import `EventsModule` without options. */
@Injectable()
export class RegisteredService {
  resolve!: (service: EventService) => void;
  readonly service = new Promise<EventService>((resolve) => (this.resolve = resolve));
}

/**
 * A module of its own: Nest runs all shutdown hooks in one order of modules, and `EventsModule` is the first in it. All
 * `EventsModule`s of an application share it.
 */
@Module({ providers: [LastHook, RegisteredService], exports: [LastHook, RegisteredService] })
export class ClosingModule {}
