import { RecordingLogger, type LogEntry } from './recording-logger';

/** Keeps also what Nest itself warns of, and its errors. */
export class AllWarnings extends RecordingLogger {
  readonly warnings: string[] = [];

  override warn = (message: unknown, ...rest: unknown[]): void => this.#add('warn', message, rest);
  override error = (message: unknown, ...rest: unknown[]): void => this.#add('error', message, rest);

  #add(level: LogEntry['level'], message: unknown, rest: readonly unknown[]): void {
    this.warnings.push(String(message));
    this.entries.add({ level, message: [message, ...rest].join(' ') });
  }
}
