/** Where the package speaks. Nest's `Logger` fits; so does `console`. */
export interface EventsLogger {
  error(message: string): void;
  warn(message: string): void;
  log(message: string): void;
  debug(message: string): void;
}

/** The users' logger, which may throw: what it is told of must go on all the same. */
export function steadyLogger(logger: EventsLogger): EventsLogger {
  const steady =
    (level: keyof EventsLogger) =>
    (message: string): void => {
      try {
        logger[level](message);
      } catch {
        // There is nobody else to tell.
      }
    };
  return { error: steady('error'), warn: steady('warn'), log: steady('log'), debug: steady('debug') };
}

/** Text of whatever was thrown, which may itself throw when it is asked. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return 'a value that cannot be shown';
  }
}
