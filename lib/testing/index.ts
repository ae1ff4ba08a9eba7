// For the tests of applications.
export {
  EventsTestingModule,
  TestEvents,
  type DeadLetteredEvent,
  type EmittedEvent,
  type EventsTestingOptions,
  type FailedEvent,
  type FailOnPurpose,
  type HandledEvent,
  type TestOptions,
} from './kit';

// For those who write a transport.
export {
  transportConformance,
  type StoredDeadLetter,
  type TransportFeatures,
  type TransportUnderTest,
} from './conformance';

// The contract of a transport.
export type { EventHeaders } from '../core/headers';
export type { Failure, Settlement } from '../core/settlement';
export type {
  Consumer,
  Delivery,
  EventTransport,
  OutboundMessage,
  PublishReceipt,
  SubscriptionSpec,
  TransportStatus,
  TransportSubscription,
} from '../core/transport';
