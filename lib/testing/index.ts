export {
  transportConformance,
  type StoredDeadLetter,
  type TransportFeatures,
  type TransportUnderTest,
} from './conformance';
