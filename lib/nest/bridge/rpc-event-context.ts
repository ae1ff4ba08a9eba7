import { NatsContext } from '@nestjs/microservices';
import type { EventContext } from '../../core/event-map';
import type { EventHeaders } from '../../core/headers';

/** The part of nats.js' `MsgHdrs` that reads. */
class ReadableHeaders {
  constructor(private readonly headers: EventHeaders) {}

  get(key: string): string {
    return this.headers[key.toLowerCase()] ?? this.headers[key] ?? '';
  }
  has(key: string): boolean {
    return this.get(key) !== '';
  }
  values(key: string): string[] {
    return this.has(key) ? [this.get(key)] : [];
  }
  keys(): string[] {
    return Object.keys(this.headers);
  }
}

/**
 * What `@Ctx()` gives an `@EventPattern` handler: the context of the event, in the shape of the `NatsContext` that the
 * handler was written for. `getSubject()` is the name of the event.
 */
export class RpcEventContext extends NatsContext implements EventContext {
  constructor(private readonly event: EventContext) {
    super([event.name, new ReadableHeaders(event.headers)]);
  }

  get id(): string {
    return this.event.id;
  }
  get name(): string {
    return this.event.name;
  }
  get source(): string {
    return this.event.source;
  }
  get time(): Date {
    return this.event.time;
  }
  get correlationId(): string {
    return this.event.correlationId;
  }
  get causationId(): string | undefined {
    return this.event.causationId;
  }
  get attempt(): number {
    return this.event.attempt;
  }
  get headers(): EventHeaders {
    return this.event.headers;
  }
  get signal(): AbortSignal {
    return this.event.signal;
  }
  get subscription(): string {
    return this.event.subscription;
  }
}
