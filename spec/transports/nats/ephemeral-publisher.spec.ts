import type { NatsConnection } from 'nats';
import { asSubject } from '../../../lib/core/subject';
import { connect } from 'nats';
import { eventually } from '../../../lib/testing/conformance/collector';
import { NatsLink } from '../../../lib/transports/nats/connection';
import { EphemeralPublisher } from '../../../lib/transports/nats/ephemeral-publisher';
import { encodeHeaders } from '../../../lib/transports/nats/header-block';
import { Relay } from '../../support/fault-relay';
import { NatsServer } from '../../support/nats-server';
import { silentLogger } from '../../support/silent-logger';

const limits = { storage: 'file', replicas: 1, maxAge: 0, maxBytes: -1, maxMessages: -1 } as const;
const stream = { effective: { ...limits, duplicateWindow: 120_000, discard: 'new' }, explicit: {} } as const;

describe('publishing over core NATS', () => {
  let server: NatsServer;
  let relay: Relay;
  let link: NatsLink;
  let publisher: EphemeralPublisher;
  let listener: NatsConnection;
  const arrived: string[] = [];
  /** What the client has sent, by write. */
  const writes: string[] = [];

  beforeAll(async () => {
    server = await NatsServer.start({
      config:
        'authorization { users: [{ user: admin, password: secret }, { user: service, password: secret, permissions: { publish: { deny: "c.forbidden" } } }] }',
    });
    relay = await Relay.to(server.port);
    relay.cutsAt = (text) => {
      writes.push(text);
      return false;
    };
    listener = await connect({ servers: server.url, user: 'admin', pass: 'secret' });
    listener.subscribe('c.>', { callback: (_error, msg) => void arrived.push(msg.string()) });
    await listener.flush();
  });
  afterAll(async () => {
    await listener.close();
    await relay.stop();
    await server.stop();
  });
  beforeEach(async () => {
    link = new NatsLink({
      servers: [relay.url],
      clusterId: 'c',
      app: 'app',
      clientId: 'app',
      delivery: 'ephemeral',
      credentials: { user: 'service', pass: 'secret' },
      connectTimeout: 5000,
      publishTimeout: 5000,
      ackWait: 30_000,
      manage: true,
      events: stream,
      deadLetters: stream,
      logger: silentLogger,
    });
    await link.connect();
    await link.flush(5000);
    publisher = new EphemeralPublisher(link, 5000);
    arrived.length = 0;
    writes.length = 0;
  });
  afterEach(() => link.close());

  const HEADER = encodeHeaders({});
  const publish = (body: string, subject = 'c.a', by = publisher): Promise<unknown> =>
    by.publish({ subject: asSubject(subject), header: HEADER, body, bodyLength: Buffer.byteLength(body) });
  const outcome = (publishing: Promise<unknown>): Promise<unknown> =>
    publishing.then(
      () => 'confirmed',
      (error: unknown) => error,
    );
  const until = (complaint: string, condition: () => boolean): Promise<boolean> =>
    eventually(
      async () => condition(),
      (is) => is,
      () => complaint,
    );
  const hasArrived = (count: number): Promise<boolean> =>
    until(`not all ${count} have arrived`, () => arrived.length === count);
  const commands = (sent: string): string[] => sent.match(/PUB|PING/g) ?? [];

  it('sends the question for its confirmation with a message, in one write', async () => {
    await publish('1');
    await publish('2');
    expect(writes.map(commands)).toEqual([
      ['PUB', 'PING'],
      ['PUB', 'PING'],
    ]);
  });

  it('asks once for all that is published in a turn while another question is open', async () => {
    await Promise.all(Array.from({ length: 500 }, (_, n) => publish(String(n), n % 2 === 0 ? 'c.a' : 'c.b')));
    const asked = commands(writes.join('')).flatMap((command, place) => (command === 'PING' ? [place] : []));
    expect(asked).toEqual([1, 501]);
    await hasArrived(500);
  });

  it('confirms nothing before the server has answered', async () => {
    server.pause();
    const confirmed: string[] = [];
    const publishing = ['alone', 'then', 'too'].map((body) => publish(body).then(() => confirmed.push(body)));
    await new Promise((resolve) => setTimeout(resolve, 100));
    const before = [...confirmed];
    server.resume();
    await Promise.all(publishing);
    expect(before).toEqual([]);
    await hasArrived(3);
  });

  it('tells each what became of its own subject', async () => {
    const subjects = ['c.a', 'c.forbidden', 'c.a', 'c.forbidden', 'c.b', 'c.forbidden'];
    const outcomes = await Promise.all(subjects.map((subject) => outcome(publish('1', subject))));
    const refused = expect.objectContaining({ code: 'permission_denied' }) as unknown;
    expect(outcomes).toEqual(['confirmed', refused, 'confirmed', refused, 'confirmed', refused]);
    // Refused before is not refused now: it is asked again each time.
    expect(await outcome(publish('1', 'c.forbidden'))).toEqual(refused);
    expect(await outcome(publish('1'))).toBe('confirmed');
  });

  it('says that it does not know when the server does not answer', async () => {
    const impatient = new EphemeralPublisher(link, 200);
    server.pause();
    const outcomes = await Promise.all(
      ['1', '2', '3'].map((body) => outcome(publish(body, 'c.a', impatient))),
    );
    server.resume();
    for (const error of outcomes) expect(error).toMatchObject({ code: 'disconnected', retryable: true });
  });

  it('does not take the answer of a new connection for that of the one that broke', async () => {
    const publishing = ['alone', 'then', 'too'].map(
      async (body) => [body, await outcome(publish(body))] as const,
    );
    // In the same turn: before the end of it, the client has begun anew.
    void link.nc.reconnect();
    const outcomes = await Promise.all(publishing);
    await until('it is not connected', () => link.connected);
    await publish('after');
    await until('what came after is missing', () => arrived.includes('after'));
    for (const [body, how] of outcomes) {
      if (how === 'confirmed') expect(arrived).toContain(body);
      else expect(how).toMatchObject({ code: 'disconnected', retryable: true });
    }
  });

  it('rejects at once what is too large for the server', async () => {
    const { max_payload: limit = 0 } = link.nc.info ?? {};
    expect(await outcome(publish('x'.repeat(limit)))).toMatchObject({ code: 'publish_rejected' });
  });
});
