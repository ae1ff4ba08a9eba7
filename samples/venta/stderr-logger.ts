import { ConsoleLogger, type LogLevel } from '@nestjs/common';

/** Nest's logger on stderr, since stdout tells the story: errors in one line, or with `verbose` everything. */
export class StderrLogger extends ConsoleLogger {
  readonly #verbose: boolean;

  constructor(verbose: boolean) {
    super({
      prefix: 'Venta',
      colors: process.stderr.isTTY === true,
      ...(verbose ? {} : { logLevels: ['error', 'fatal'] }),
    });
    this.#verbose = verbose;
  }

  protected override printMessages(messages: unknown[], context?: string, logLevel?: LogLevel): void {
    const shown = this.#verbose ? messages : messages.map((message) => String(message).split('\n', 1)[0]);
    super.printMessages(shown, context, logLevel, 'stderr');
  }
}
