import type { EventsError } from '../../../lib/core/errors';
import { asSubject } from '../../../lib/core/subject';
import { NatsLink } from '../../../lib/transports/nats/connection';
import { encodeHeaders } from '../../../lib/transports/nats/header-block';
import { StreamPublisher } from '../../../lib/transports/nats/publisher';
import { NatsServer } from '../../support/nats-server';
import { silentLogger } from '../../support/silent-logger';

const limits = { storage: 'file', replicas: 1, maxAge: 0, maxBytes: -1, maxMessages: -1 } as const;
const stream = { effective: { ...limits, duplicateWindow: 120_000, discard: 'new' }, explicit: {} } as const;

describe('a publish to a stream', () => {
  let server: NatsServer;
  let link: NatsLink;
  let publisher: StreamPublisher;

  beforeEach(async () => {
    server = await NatsServer.start();
    link = new NatsLink({
      servers: [server.url],
      clusterId: 'c',
      app: 'app',
      clientId: 'app',
      delivery: 'durable',
      credentials: {},
      connectTimeout: 5000,
      publishTimeout: 5000,
      ackWait: 30_000,
      manage: true,
      events: stream,
      deadLetters: stream,
      logger: silentLogger,
    });
    await link.connect();
    publisher = new StreamPublisher(link, '_INBOX.app');
  });
  afterEach(async () => {
    publisher.close();
    await link.close();
    await server.stop();
  });

  const message = { subject: asSubject('c.a'), header: encodeHeaders({}), body: '1', bodyLength: 1 };
  const failing = (timeout: number): Promise<unknown> =>
    publisher.publish(message, { stream: 'c', timeout }).catch((error: unknown) => error);

  it('that a stalled server leaves unanswered is unconfirmed, and says what happened', async () => {
    server.pause();
    const error = await failing(300);
    server.resume();

    expect(error).toMatchObject({ code: 'publish_unconfirmed', retryable: true });
    expect((error as EventsError).message).toContain('no acknowledgement came');
  });

  it('that nothing ever took finds no stream', async () => {
    expect(await failing(300)).toMatchObject({ code: 'no_stream' });
  });

  it('after the publisher was closed rejects at once', async () => {
    publisher.close();
    expect(await failing(60_000)).toMatchObject({ code: 'closed' });
  });
});
