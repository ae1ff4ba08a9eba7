// For applications.
export {
  createEventService,
  EventsClient,
  EventsDeserializer,
  EventsExceptionFilter,
  EventsModule,
  EventsStrategy,
  OnEvent,
  type Authenticator,
  type ConnectionOptions,
  type EventHandlerDecorator,
  type EventsModuleAsyncOptions,
  type EventsModuleOptions,
  type EventsOptionsFactory,
  type EventsStrategyOptions,
  type GuardDenied,
  type OnEventOptions,
  type PendingEmitsOptions,
  type StreamLimits,
  type StreamOptions,
  type TlsOptions,
} from './nest';
export { EventService, type EventServiceStatus } from './core/event-service';
export {
  EmitManyError,
  type ContractToEmit,
  type EmitManyOptions,
  type EmitOptions,
  type EventToEmit,
} from './core/emitter';
export type { EventSubscription, SubscriptionStatus } from './core/subscriptions';
export {
  DeadLetterService,
  type DeadLetterCount,
  type DeadLetterPage,
  type RedriveOptions,
  type RedriveResult,
} from './core/dead-letter-service';
export type { DeadLetterFilter } from './core/dead-letter-filter';
export type { DeadLetter } from './core/dead-letter-reading';
export type { EventContext, EventData, EventHandler, EventMap, EventName } from './core/event-map';
export type { CircuitBreakerOptions } from './core/circuit-breaker';
export type { ConsumeContext } from './core/event-context';
export {
  defineEvent,
  type EventContract,
  type EventContractOptions,
  type EventSchema,
  type EventsOf,
  type StandardSchema,
  type ValidatedClass,
} from './core/contract';
export {
  EventsConfigurationError,
  EventSerializationError,
  EventsError,
  EventValidationError,
  NonRetryableError,
  RetryAfterError,
  type EventsErrorCode,
  type EventsErrorOptions,
  type ValidationIssue,
} from './core/errors';
export type { EmitReceipt, EventMiddleware, OutboundEvent } from './core/middleware';
export type { HandlerDefinition, SubscribeOptions } from './core/handler-definition';
export type { RetryPolicy } from './core/retry-policy';
export type { DeadLetterReason } from './core/settlement';
export type { EventHeaders } from './core/headers';
export type { EventsLogger } from './core/logger';
export type { Failed } from './core/promises';
export type { DeliveryMode, StartFrom } from './core/transport';

// For those who write a transport; what belongs to it is in `@venta/events/testing`, beside the conformance suite.
export type { EventTransport } from './core/transport';
