export { EventsClient } from './bridge/events-client';
export { EventsDeserializer } from './bridge/events-deserializer';
export { EventsStrategy, type EventsStrategyOptions } from './bridge/events-strategy';
export { createEventService } from './create-event-service';
export { EventsExceptionFilter } from './events-exception.filter';
export { EventsModule, type EventsModuleAsyncOptions, type EventsOptionsFactory } from './events.module';
export { OnEvent, type EventHandlerDecorator, type OnEventOptions } from './on-event.decorator';
export type {
  Authenticator,
  ConnectionOptions,
  EventsModuleOptions,
  GuardDenied,
  PendingEmitsOptions,
  StreamLimits,
  StreamOptions,
  TlsOptions,
} from './options/options';

// For `testing/`.
export { TEST_SEAM, type TestSeam } from './test-seam';
