import { Catch, Inject, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { EventsError } from '../core/errors';
import { httpStatusOf } from '../core/http-status';

/**
 * Answers HTTP requests that fail with an `EventsError` with the status of its code (docs/errors.md), as
 * `{ statusCode, code, message }`. For endpoints of administrators: the messages name subjects, streams and handlers. In other contexts
 * the error goes on as it is.
 *
 * @example
 * ```ts
 * @UseFilters(EventsExceptionFilter)
 * @Controller('dead-letters')
 * class DeadLettersController {}
 * ```
 */
@Catch(EventsError)
export class EventsExceptionFilter implements ExceptionFilter<EventsError> {
  readonly #host: HttpAdapterHost;

  constructor(@Inject(HttpAdapterHost) host: HttpAdapterHost) {
    this.#host = host;
  }

  catch(error: EventsError, host: ArgumentsHost): void {
    if (host.getType() !== 'http') throw error;
    const { code, message } = error;
    const statusCode = httpStatusOf(code);
    this.#host.httpAdapter.reply(
      host.switchToHttp().getResponse(),
      { statusCode, code, message },
      statusCode,
    );
  }
}
