/** Where the package speaks. Nest's `Logger` fits; so does `console`. */
export interface EventsLogger {
  error(message: string): void;
  warn(message: string): void;
  log(message: string): void;
  debug(message: string): void;
}
