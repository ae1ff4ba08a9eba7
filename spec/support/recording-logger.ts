import type { LoggerService } from '@nestjs/common';
import { Collector } from '../../lib/testing/conformance/collector';
import type { EventsLogger } from '../../lib/core/logger';

export interface LogEntry {
  readonly level: 'error' | 'warn' | 'log' | 'debug';
  readonly message: string;
}

/** Keeps what the package logs, and none of what Nest itself does. Fits where Nest or the package wants a logger. */
export class RecordingLogger implements LoggerService, EventsLogger {
  readonly entries = new Collector<LogEntry>('log entries');

  error = (message: unknown, ...rest: unknown[]): void => this.#add('error', message, rest);
  warn = (message: unknown, ...rest: unknown[]): void => this.#add('warn', message, rest);
  log = (message: unknown, ...rest: unknown[]): void => this.#add('log', message, rest);
  debug = (message: unknown, ...rest: unknown[]): void => this.#add('debug', message, rest);

  /** Everything logged, for what must not be in it. */
  get text(): string {
    return this.entries.items.map(({ message }) => message).join('\n');
  }

  /** Errors and warnings. */
  get complaints(): string {
    const told = this.entries.items.filter(({ level }) => level === 'error' || level === 'warn');
    return told.map(({ message }) => message).join('\n');
  }

  /** Resolves to the first entry that fits. */
  async until(level: LogEntry['level'], pattern: RegExp): Promise<LogEntry> {
    const fits = (entry: LogEntry): boolean => entry.level === level && pattern.test(entry.message);
    const entries = await this.entries.until((all) => all.some(fits), `${level} ${String(pattern)}`);
    return entries.find(fits) as LogEntry;
  }

  clear(): void {
    this.entries.items.length = 0;
  }

  #add(level: LogEntry['level'], message: unknown, rest: readonly unknown[]): void {
    const context = rest.at(-1);
    if (context === undefined || context === 'Events') {
      // What a logger is given besides the message must not smuggle a payload in either.
      const more = rest.slice(0, -1).map((each) => JSON.stringify(each));
      this.entries.add({ level, message: [String(message), ...more].join(' ') });
    }
  }
}
