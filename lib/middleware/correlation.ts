import { AsyncLocalStorage } from 'node:async_hooks';
import type { ConsumeContext } from '../core/event-context';
import type { Stage } from '../core/middleware';

const TRACE_HEADERS = ['traceparent', 'tracestate', 'baggage'] as const;

/**
 * Whatever is emitted while an event is handled inherits its correlation id and its trace headers, and names it as the
 * cause. What the caller of `emit` gives explicitly stands.
 */
export function correlation(): Stage {
  // One store per service: two applications in one process do not see each other.
  const handling = new AsyncLocalStorage<ConsumeContext>();
  return {
    consume: (event, next) => handling.run(event, next),
    publish: (event, next) => {
      const cause = handling.getStore();
      if (cause === undefined) {
        event.correlationId ??= event.id;
        return next();
      }
      event.correlationId ??= cause.correlationId;
      event.causationId ??= cause.id;
      for (const key of TRACE_HEADERS) {
        const value = cause.headers[key];
        if (value !== undefined) event.headers[key] ??= value;
      }
      return next();
    },
  };
}
