export { MemoryBroker } from './broker';
export type { StoredDeadLetter } from './dead-letter-stream';
export type { StoredEvent } from './event-stream';
export type { MemoryStreamOptions } from './stream-options';
export { createMemoryTransport, MemoryTransport, type MemoryTransportOptions } from './transport';
