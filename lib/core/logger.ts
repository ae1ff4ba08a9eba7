import { printableEntry } from './printable';

/** Where the package speaks. Nest's `Logger` fits; so does `console`. */
export interface EventsLogger {
  error(message: string): void;
  warn(message: string): void;
  log(message: string): void;
  debug(message: string): void;
}

/**
 * The users' logger, which may throw: what it is told of must go on all the same. What is in an entry may come from anywhere: it is
 * cleaned and bounded.
 */
export function steadyLogger(logger: EventsLogger): EventsLogger {
  const steady =
    (level: keyof EventsLogger) =>
    (message: string): void => {
      try {
        logger[level](printableEntry(message));
      } catch {
        // There is nobody else to tell.
      }
    };
  return { error: steady('error'), warn: steady('warn'), log: steady('log'), debug: steady('debug') };
}
