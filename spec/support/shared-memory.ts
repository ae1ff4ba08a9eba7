import { randomUUID } from 'node:crypto';
import type { EventHeaders } from '../../lib/core/headers';
import { eventually } from '../../lib/testing/conformance/collector';
import { createMemoryTransport, type StoredDeadLetter, type StoredEvent } from '../../lib/transports/memory';
import { silentLogger } from './silent-logger';

/** A memory broker that applications reach by its url, and that the test can look into. */
export interface SharedMemory {
  readonly url: string;
  events(): readonly StoredEvent[];
  /** The data of the stored events, parsed. */
  bodies(): unknown[];
  /** Resolves when there are `count` dead letters, to all of them. */
  deadLetters(count: number): Promise<readonly StoredDeadLetter[]>;
  /** What somebody else's client would publish. */
  publishRaw(name: string, body: string, headers?: EventHeaders): Promise<void>;
}

/** A broker for each test of the file; it outlives the applications of its test. */
export function sharedMemory(clusterId = 'events'): SharedMemory {
  let name = '';
  let transport = connectedTransport('', clusterId);
  beforeEach(async () => {
    name = `spec-${randomUUID()}`;
    transport = connectedTransport(name, clusterId);
    await transport.connect();
  });
  afterEach(() => transport.close());

  const events = (): readonly StoredEvent[] => transport.broker.events(clusterId);
  return {
    get url() {
      return `memory://${name}`;
    },
    events,
    bodies: () => events().map(({ body }) => JSON.parse(Buffer.from(body).toString()) as unknown),
    deadLetters: (count) =>
      eventually(
        async () => transport.broker.deadLetters(clusterId),
        (letters) => letters.length >= count,
        (letters) => `there are ${letters.length} of ${count} dead letters`,
      ),
    publishRaw: async (event, body, headers = {}) => {
      await transport.publish({
        name: event,
        messageId: randomUUID(),
        headers,
        body: Buffer.from(body),
      });
    },
  };
}

const connectedTransport = (name: string, clusterId: string): ReturnType<typeof createMemoryTransport> =>
  createMemoryTransport({ name, clusterId, delivery: 'durable', logger: silentLogger });
