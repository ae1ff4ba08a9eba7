import { randomUUID } from 'node:crypto';
import type { DeliveryMode } from '../../lib/core/transport';
import { transportConformance, type TransportUnderTest } from '../../lib/testing';
import { createMemoryTransport, type MemoryTransport } from '../../lib/transports/memory';
import { silentLogger } from '../support/silent-logger';

const MAX_PAYLOAD = 1024 * 1024;

transportConformance('memory, durable', { durable: true, deadLetters: true, maxPayload: MAX_PAYLOAD }, () =>
  memoryUnderTest('durable', 'durable'),
);

transportConformance(
  'memory, ephemeral, where there are streams',
  { durable: false, deadLetters: true, maxPayload: MAX_PAYLOAD },
  () => memoryUnderTest('ephemeral', 'durable'),
);

transportConformance(
  'memory, ephemeral',
  { durable: false, deadLetters: false, maxPayload: MAX_PAYLOAD },
  () => memoryUnderTest('ephemeral', 'ephemeral'),
);

/** @param others how the service publishes that keeps the broker alive and has made its streams, or none */
async function memoryUnderTest(delivery: DeliveryMode, others: DeliveryMode): Promise<TransportUnderTest> {
  const name = randomUUID();
  const clusterId = 'conformance';
  const transport = (mode: DeliveryMode): MemoryTransport =>
    createMemoryTransport({ name, clusterId, delivery: mode, logger: silentLogger });
  const witness = transport(others);
  await witness.connect();
  return {
    create: () => transport(delivery),
    deadLetters: async () => witness.broker.deadLetters(clusterId),
    dispose: () => witness.close(),
  };
}
