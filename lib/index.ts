// For applications.
export {
  createEventService,
  EventsClient,
  EventsDeserializer,
  EventsExceptionFilter,
  EventsModule,
  EventsStrategy,
  OnEvent,
  type ConnectionOptions,
  type EventHandlerDecorator,
  type EventsModuleAsyncOptions,
  type EventsModuleOptions,
  type EventsOptionsFactory,
  type OnEventOptions,
  type StreamOptions,
} from './nest';
export { EventService, type EventServiceStatus } from './core/event-service';
export { EmitManyError, type EmitOptions, type EventToEmit } from './core/emitter';
export type { EventSubscription } from './core/subscriptions';
export { DeadLetterService, type RedriveOptions, type RedriveResult } from './core/dead-letter-service';
export type { DeadLetterFilter } from './core/dead-letter-filter';
export type { DeadLetter } from './core/dead-letter-reading';
export type { EventHandler, EventMap } from './core/event-map';
export type { ConsumeContext, EventContext } from './core/event-context';
export { defineEvent, type EventContract, type EventsOf } from './core/contract';
export {
  EventsConfigurationError,
  EventSerializationError,
  EventsError,
  EventValidationError,
  NonRetryableError,
  RetryAfterError,
  type EventsErrorCode,
  type ValidationIssue,
} from './core/errors';
export type { EmitReceipt, EventMiddleware, OutboundEvent } from './core/middleware';
export type { SubscribeOptions } from './core/handler-definition';
export type { RetryPolicy } from './core/retry-policy';

// For those who write a transport; what belongs to it is in `@venta/events/testing`, beside the conformance suite.
export type { EventTransport } from './core/transport';
