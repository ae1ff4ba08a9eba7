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
