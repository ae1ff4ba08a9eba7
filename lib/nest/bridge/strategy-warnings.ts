import type { ApplicationConfig } from '@nestjs/core';
import type { EventsStrategy } from './events-strategy';

/** What to tell of requests that reach nobody: nothing, if the application has another transport for them. */
export function unansweredRequests(strategy: EventsStrategy, hasOtherTransports: boolean): string[] {
  if (hasOtherTransports) return [];
  const requests = [...strategy.getHandlers()].filter(([, { isEventHandler }]) => isEventHandler !== true);
  return requests.map(
    ([pattern]) =>
      `EventsStrategy does not answer requests: @MessagePattern(${asWritten(pattern)}) needs a transport of Nest's`,
  );
}

/** Nest keeps patterns that are no text as JSON. */
const asWritten = (pattern: string): string => (pattern.startsWith('{') ? pattern : JSON.stringify(pattern));

/** What to tell of enhancers of the application that do not apply, although nobody has said that they should not. */
export function enhancersLeftOut(config: ApplicationConfig): string[] {
  const kinds = [
    ['guards', config.getGlobalGuards(), config.getGlobalRequestGuards()],
    ['pipes', config.getGlobalPipes(), config.getGlobalRequestPipes()],
    ['interceptors', config.getGlobalInterceptors(), config.getGlobalRequestInterceptors()],
    ['filters', config.getGlobalFilters(), config.getGlobalRequestFilters()],
  ] as const;
  const present = kinds.filter(([, applied, scoped]) => applied.length + scoped.length > 0);
  if (present.length === 0) return [];
  return [
    `the ${present.map(([kind]) => kind).join(', ')} of the whole application do not apply to the methods that ` +
      'EventsStrategy serves: if they should, give it `globalEnhancers: true`, else `globalEnhancers: false`',
  ];
}
