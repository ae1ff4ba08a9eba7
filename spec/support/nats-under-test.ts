import { randomUUID } from 'node:crypto';
import { connect } from 'nats';
import { deadLetterStream } from '../../lib/core/names';
import type { DeliveryMode, EventTransport } from '../../lib/core/transport';
import type { StoredDeadLetter, TransportUnderTest } from '../../lib/testing';
import { createNatsTransport } from '../../lib/transports/nats';
import { silentLogger } from './silent-logger';

/** A cluster id of its own on a running server. */
export function natsUnderTest(
  url: string,
  delivery: DeliveryMode,
  clusterId = `conformance-${randomUUID()}`,
): TransportUnderTest {
  return {
    create: (app) => transport(url, clusterId, app, delivery),
    deadLetters: () => storedDeadLetters(url, clusterId),
    dispose: async () => {},
  };
}

/** The same, where a service with durable delivery has made the streams before. */
export async function natsWithStreams(url: string, delivery: DeliveryMode): Promise<TransportUnderTest> {
  const clusterId = `conformance-${randomUUID()}`;
  const durable = transport(url, clusterId, 'first', 'durable');
  await durable.connect();
  await durable.close();
  return natsUnderTest(url, delivery, clusterId);
}

const transport = (url: string, clusterId: string, app: string, delivery: DeliveryMode): EventTransport =>
  createNatsTransport({ servers: [url], clusterId, app, delivery, logger: silentLogger });

/** Read by the plain client, oldest first. */
async function storedDeadLetters(url: string, clusterId: string): Promise<StoredDeadLetter[]> {
  const connection = await connect({ servers: url });
  try {
    const stream = deadLetterStream(clusterId);
    const { streams } = await connection.jetstreamManager();
    const { state } = await streams.info(stream);
    const letters: StoredDeadLetter[] = [];
    for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
      const { subject, header, data } = await streams.getMessage(stream, { seq });
      const headers = Object.fromEntries([...header].map(([key, values]) => [key, values[0] ?? '']));
      letters.push({ subject, headers, body: data });
    }
    return letters;
  } finally {
    await connection.close();
  }
}
