import type { Msg, NatsConnection } from 'nats';
import { connect } from 'nats';
import type { EventsError } from '../../../lib/core/errors';
import { asSubject } from '../../../lib/core/subject';
import { NatsLink } from '../../../lib/transports/nats/connection';
import { encodeHeaders } from '../../../lib/transports/nats/header-block';
import { type PublishTarget, type StreamAck, StreamPublisher } from '../../../lib/transports/nats/publisher';
import { judge } from '../../../lib/transports/nats/server-errors';
import { NatsServer } from '../../support/nats-server';
import { silentLogger } from '../../support/silent-logger';

const limits = { storage: 'file', replicas: 1, maxAge: 0, maxBytes: -1, maxMessages: -1 } as const;
const stream = { effective: { ...limits, duplicateWindow: 120_000, discard: 'new' }, explicit: {} } as const;

const STORED = '{"stream":"c","seq":7}';
const REPEATED = '{"stream":"c","seq":7,"duplicate":true}';
const refusal = (code: unknown, description: unknown = 'because'): string =>
  JSON.stringify({ error: { code: 400, err_code: code, description }, stream: 'c', seq: 0 });

describe('F53 the judgement of an error code of the server', () => {
  it.each([10008, 10009, 10039, 10076, 10118, 10163, 10164, 10167, 10176, 10194, 10210])(
    '%i is "not now"',
    (code) => expect(judge(code, '')).toBe('not_now'),
  );

  it.each([10041, 10051, 10158, 10227, 10300, 1, 0, -1, 10.5, NaN, '10054', undefined, null])(
    '%p leaves the outcome open',
    (code) => expect(judge(code, 'maximum bytes exceeded')).toBe('unknown'),
  );

  it.each([10002, 10023, 10026, 10047, 10054, 10059, 10060, 10071, 10097, 10109, 10174, 10199, 10201])(
    '%i is "never"',
    (code) => expect(judge(code, '')).toBe('never'),
  );

  it('10077 is "never" of a full stream, and leaves the outcome open of any other failure', () => {
    for (const full of ['messages', 'bytes', 'messages per subject'])
      expect(judge(10077, `maximum ${full} exceeded`)).toBe('never');
    for (const other of ['store is closed', 'no space left on device', '', undefined])
      expect(judge(10077, other)).toBe('unknown');
  });
});

/** Nothing but a client answers here: whatever the test makes it say. */
describe('the answer to a publish', () => {
  let server: NatsServer;
  let link: NatsLink;
  let publisher: StreamPublisher;
  let other: NatsConnection;
  /** Of each try, the first first; the last one goes on. `undefined`: no answer. */
  let answers: (string | undefined | ((msg: Msg) => void))[] = [];
  let tries = 0;

  beforeAll(async () => {
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
    other = await connect({ servers: server.url });
    other.subscribe('c.a', {
      callback: (_error, msg) => {
        if (msg.reply === '') return;
        const answer = answers[Math.min(tries++, answers.length - 1)];
        if (typeof answer === 'function') answer(msg);
        else if (answer !== undefined) msg.respond(answer);
      },
    });
    await other.flush();
  });
  afterAll(async () => {
    publisher.close();
    await link.close();
    await other.close();
    await server.stop();
  });

  const message = { subject: asSubject('c.a'), header: encodeHeaders({}), body: '1', bodyLength: 1 };
  async function publish(
    said: typeof answers,
    more: Partial<PublishTarget> = {},
  ): Promise<StreamAck | EventsError> {
    answers = said;
    tries = 0;
    return publisher
      .publish(message, { stream: 'c', timeout: 4000, ...more })
      .catch((error: unknown) => error as EventsError);
  }

  it.each([
    ['sequence 0', '{"stream":"c","seq":0}'],
    ['sequence 0 of a duplicate', '{"stream":"c","seq":0,"duplicate":true}'],
    ['sequence 0, spaced', '{"stream": "c", "seq": 0}'],
    ['no sequence', '{"stream":"c"}'],
    ['a negative sequence', '{"stream":"c","seq":-1}'],
    ['half a sequence', '{"stream":"c","seq":1.5}'],
    ['a sequence in quotes', '{"stream":"c","seq":"7"}'],
    ['a sequence beyond what a number holds', '{"stream":"c","seq":18446744073709551615}'],
    ['no number at all', '{"stream":"c","seq":null}'],
  ])('F52 with %s is no acknowledgement: it is published again', async (_what, answer) => {
    expect(await publish([answer, STORED])).toMatchObject({ sequence: 7 });
    expect(tries).toBe(2);
  });

  it('F52 that stays at sequence 0 is unconfirmed when the time is up, and never resolves', async () => {
    const error = await publish(['{"stream":"c","seq":0,"duplicate":true}'], { timeout: 600 });
    expect(error).toMatchObject({ code: 'publish_unconfirmed', retryable: true });
    expect(tries).toBeGreaterThan(2);
  });

  it.each([
    ['another stream', '{"stream":"d","seq":3}'],
    ['no stream', '{"seq":3}'],
    ['no JSON', 'yes'],
    ['null', 'null'],
    ['a list', '[{"stream":"c","seq":3}]'],
    ['an error without a stream', '{"error":{"code":400,"err_code":10054,"description":"too large"}}'],
  ])('F53 that names %s is the answer of somebody else', async (_what, answer) => {
    const both = (msg: Msg): void => {
      msg.respond(answer);
      msg.respond(STORED);
    };
    expect(await publish([both])).toMatchObject({ sequence: 7, duplicate: false });
    expect(tries).toBe(1);
  });

  it.each([
    ['a domain', '{"stream":"c","domain":"hub","seq":7}'],
    ['fields that are not known yet', '{"stream":"c","seq":7,"more":{"of":1}}'],
    ['no error', '{"error":null,"stream":"c","seq":7}'],
  ])('F53 with %s is an acknowledgement', async (_what, answer) => {
    expect(await publish([answer])).toEqual({ stream: 'c', sequence: 7, duplicate: false });
  });

  it.each([10158, 10167, 10008, 10009, 10077, 10999, 'none', null])(
    'F53 %p is "not now": published again, and confirmed',
    async (code) => {
      expect(await publish([refusal(code), STORED])).toMatchObject({ sequence: 7 });
      expect(tries).toBe(2);
    },
  );

  it.each([10158, 10167, 10999])('F53 %i for ever is unconfirmed when the time is up', async (code) => {
    const error = await publish([refusal(code)], { timeout: 500 });
    expect(error).toMatchObject({ code: 'publish_unconfirmed', retryable: true });
    expect((error as EventsError).message).toContain(String(code));
  });

  it.each([
    [10054, 'message size exceeds maximum allowed'],
    [10077, 'maximum messages exceeded'],
    [10109, 'invalid operation on sealed stream'],
  ])('F53 %i is "never": rejected at once', async (code, description) => {
    expect(await publish([refusal(code, description)])).toMatchObject({
      code: 'publish_rejected',
      retryable: false,
      serverCode: code,
    });
    expect(tries).toBe(1);
  });

  it.each([
    ['an id in process', refusal(10158)],
    ['sequence 0', '{"stream":"c","seq":0,"duplicate":true}'],
    ['an unknown code', refusal(10999)],
  ])(
    'F53 a refusal for good after %s is unconfirmed: the earlier try may be stored',
    async (_what, first) => {
      const error = await publish([first, refusal(10054)]);
      expect(error).toMatchObject({ code: 'publish_unconfirmed', serverCode: 10054, retryable: true });
    },
  );

  it('F53 a refusal for good after "too many requests" is a rejection: nothing was stored', async () => {
    expect(await publish([refusal(10167), refusal(10054)])).toMatchObject({ code: 'publish_rejected' });
  });

  it('tells a duplicate of an earlier publish from one of an earlier try', async () => {
    expect(await publish([REPEATED])).toMatchObject({ duplicate: true });
    expect(await publish([refusal(10167), REPEATED])).toMatchObject({ duplicate: true });
    expect(await publish([refusal(10158), REPEATED])).toMatchObject({ duplicate: true });
    expect(await publish([undefined, REPEATED])).toMatchObject({ duplicate: false });
  });

  it('F53 of a batch counts only if it names the batch and all of its messages', async () => {
    const batch = {
      id: 'b-',
      size: 2,
      subjects: new Set([asSubject('c.a')]),
      encode: () => [message, message],
    };
    const ack = (more: object): string => JSON.stringify({ stream: 'c', seq: 7, ...more });
    const good = ack({ batch: 'b-1', count: 2 });
    for (const bad of [
      {},
      { batch: 'x', count: 2 },
      { batch: 'b-1', count: 1 },
      { batch: 'b-1' },
      { count: 2 },
    ]) {
      expect(await publish([ack(bad), good], { batch })).toMatchObject({ sequence: 7 });
      expect(tries).toBe(2);
    }
  });
});
