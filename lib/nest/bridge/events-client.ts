import { randomUUID } from 'node:crypto';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { ClientProxy, NatsRecord, type ReadPacket } from '@nestjs/microservices';
import { AsyncSubject, Observable, throwError } from 'rxjs';
import { EventsConfigurationError, EventsError } from '../../core/errors';
import type { EmitOptions } from '../../core/emitter';
import { EventService } from '../../core/event-service';
import { quote } from '../../core/event-name';
import { steadyLogger } from '../../core/logger';
import { textOf } from '../../core/thrown';
import type { EmitReceipt } from '../../core/middleware';

/**
 * Nest's `ClientProxy` over `EventService`, for code that injects one: inject this class, alias it
 * (`{ provide: 'USERS', useExisting: EventsClient }`), or give it to `ClientsModule` as `customClass` with
 * `options: { events }`. Events only: requests stay with a transport of Nest.
 */
@Injectable()
export class EventsClient extends ClientProxy {
  readonly #events: EventService;
  readonly #logger = steadyLogger(new Logger('Events'));

  /** @throws EventsConfigurationError if there is no `EventService` in what it is given */
  constructor(@Inject(EventService) events: EventService | { events: EventService }) {
    super();
    const service = isEventService(events) ? events : (events as { events?: unknown } | undefined)?.events;
    if (!isEventService(service)) {
      throw new EventsConfigurationError(
        'options.events',
        '`options.events` of an EventsClient must be the EventService: ' +
          '`inject: [EventService], useFactory: (events) => ({ customClass: EventsClient, options: { events } })`',
      );
    }
    this.#events = service;
  }

  /**
   * Publishes an event at once, whether or not anybody subscribes to the result, and only once. The result replays the
   * receipt, or the error that `EventService.emit` rejects with, to each subscriber; a failure that nobody has subscribed
   * to is logged.
   * @param pattern the name of the event
   * @param data its data, or a `NatsRecord` of data and headers
   */
  override emit<TResult = EmitReceipt, TInput = unknown>(
    pattern: unknown,
    data: TInput,
  ): Observable<TResult> {
    const outcome = new AsyncSubject<TResult>();
    const id = randomUUID();
    let awaited = false;
    this.#publish(pattern, data, id).then(
      (receipt) => {
        outcome.next(receipt as TResult);
        outcome.complete();
      },
      (error: unknown) => {
        if (!awaited) {
          const name = typeof pattern === 'string' ? quote(pattern) : `a pattern of type ${typeof pattern}`;
          this.#logger.error(
            `event ${name} ${id} was not emitted, and nobody waited for it: ${textOf(error)}`,
          );
        }
        outcome.error(error);
      },
    );
    return new Observable((subscriber) => {
      awaited = true;
      return outcome.subscribe(subscriber);
    });
  }

  /** Fails: an event has no answer. */
  override send<TResult = unknown>(pattern: unknown): Observable<TResult> {
    return throwError(() => requestRefused(pattern));
  }

  /** Nothing to do: the events module has connected. */
  async connect(): Promise<void> {}

  /** Nothing to do: the events module disconnects, when the application stops. */
  close(): void {}

  /** The `EventService`. */
  unwrap<T = EventService>(): T {
    return this.#events as T;
  }

  protected override dispatchEvent<T = EmitReceipt>({ pattern, data }: ReadPacket): Promise<T> {
    return this.#publish(pattern, data, randomUUID()) as Promise<T>;
  }

  protected override publish({ pattern }: ReadPacket): never {
    throw requestRefused(pattern);
  }

  async #publish(pattern: unknown, data: unknown, id: string): Promise<EmitReceipt> {
    if (typeof pattern !== 'string') {
      throw new EventsError(
        'invalid_event_name',
        `EventsClient emits events by their name, a string such as 'user.created'; got a pattern of type ${typeof pattern}`,
      );
    }
    if (!(data instanceof NatsRecord)) return this.#events.emit(pattern, data, { id });
    return this.#events.emit(pattern, data.data, { id, ...optionsOf(data.headers) });
  }
}

const isEventService = (value: unknown): value is EventService =>
  typeof value === 'object' && value !== null && typeof (value as Partial<EventService>).emit === 'function';

const requestRefused = (pattern: unknown): EventsError =>
  new EventsError(
    'request_unsupported',
    `EventsClient cannot send ${typeof pattern === 'string' ? quote(pattern) : 'a request'}: an event has no answer. ` +
      "Send requests with a ClientProxy of one of Nest's transports, or emit an event",
  );

interface HeaderList {
  keys(): Iterable<string>;
  values(key: string): Iterable<string>;
}

/** The headers of a record: those of nats.js, or an object. Our consumers take `x-correlation-id` from a Nest client, too. */
function optionsOf(given: unknown): EmitOptions {
  if (typeof given !== 'object' || given === null) return {};
  const headers = isHeaderList(given)
    ? Object.fromEntries([...given.keys()].map((key) => [key, [...given.values(key)].join(', ')]))
    : (given as Record<string, string>);
  const [, correlationId] =
    Object.entries(headers).find(([key]) => key.toLowerCase() === 'x-correlation-id') ?? [];
  return { headers, ...(correlationId !== undefined && { correlationId }) };
}

const isHeaderList = (headers: object): headers is HeaderList =>
  typeof (headers as Partial<HeaderList>).keys === 'function' &&
  typeof (headers as Partial<HeaderList>).values === 'function';
