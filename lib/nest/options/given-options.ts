import { inspect } from 'node:util';
import type { EventsModuleOptions } from './options';

const HIDDEN = '[hidden]';

/** The options as they were given, secrets among them. Nest keeps its providers where printing an application shows them. */
export class GivenOptions {
  readonly #options: EventsModuleOptions;

  constructor(options: EventsModuleOptions) {
    this.#options = options;
  }

  get options(): EventsModuleOptions {
    return this.#options;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}
