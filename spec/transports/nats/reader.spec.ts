import fc from 'fast-check';
import { connect, type NatsConnection, type Status } from 'nats';
import { Kind, Parser, type ParserEvent } from 'nats/lib/nats-base-client/parser';
import { Collector } from '../../../lib/testing/conformance/collector';
import { Reader } from '../../../lib/transports/nats/reader';
import { NatsServer } from '../../support/nats-server';

const OWN = 1;

/** What arrives, in its order, whoever read it. */
class Arrivals {
  readonly all: unknown[] = [];

  message(by: string, subject: string, reply: string, bytes: Uint8Array, headerLength: number): void {
    this.all.push([by, subject, reply, Buffer.from(bytes).toString('latin1'), headerLength]);
  }

  /** What the client's parser tells the client. */
  push(event: ParserEvent): void {
    const { kind, msg, data } = event;
    if (kind !== Kind.MSG || msg === undefined || data === undefined)
      return void this.all.push([kind, Buffer.from(data ?? []).toString()]);
    const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('utf8');
    this.message(
      msg.sid === OWN ? 'own' : 'other',
      text(msg.subject),
      text(msg.reply),
      data,
      Math.max(0, msg.hdr),
    );
  }
}

const read = (
  chunks: readonly Buffer[],
  installedAt: number,
): { arrivals: Arrivals; byReader: number; inMsgs: number; received: number } => {
  const arrivals = new Arrivals();
  const subscription = { received: 0 };
  const protocol = {
    parser: new Parser({ push: (event: ParserEvent) => arrivals.push(event) }) as {
      parse(bytes: Uint8Array): void;
    },
    inMsgs: 0,
    inBytes: 0,
    subscriptions: { get: () => subscription },
  };
  const reader = new Reader({ protocol } as unknown as NatsConnection);
  let byReader = 0;
  reader.listen(OWN, ({ subject, reply, bytes, headerLength }) => {
    byReader++;
    arrivals.message('own', subject, reply, bytes, headerLength);
  });
  chunks.forEach((chunk, place) => {
    if (place === installedAt) reader.install();
    protocol.parser.parse(chunk);
  });
  return { arrivals, byReader, inMsgs: protocol.inMsgs, received: subscription.received };
};

const withoutReader = (bytes: Buffer): unknown[] => {
  const arrivals = new Arrivals();
  new Parser({ push: (event: ParserEvent) => arrivals.push(event) }).parse(bytes);
  return arrivals.all;
};

const token = fc.oneof(fc.stringMatching(/^[a-zA-Z0-9$_-]{1,8}$/), fc.constantFrom('naïve', '€😀'));
const subject = fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join('.'));
const payload = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
type Given = string | [string, number, string | null, Buffer, Buffer, boolean];
const command = fc.oneof<fc.MaybeWeightedArbitrary<Given>[]>(
  {
    weight: 6,
    arbitrary: fc.tuple(
      subject,
      fc.constantFrom(OWN, 2),
      fc.option(subject, { nil: null }),
      payload,
      payload,
      fc.boolean(),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('PING\r\n', 'PONG\r\n', '+OK\r\n', "-ERR 'no'\r\n", 'INFO {"a":1}\r\n'),
  },
);
const bytesOf = (given: Given): Buffer => {
  if (typeof given === 'string') return Buffer.from(given);
  const [to, sid, reply, header, data, hasHeader] = given;
  const answer = reply === null ? '' : `${reply} `;
  const sizes = hasHeader ? `${header.length} ${header.length + data.length}` : String(data.length);
  const line = Buffer.from(`${hasHeader ? 'HMSG' : 'MSG'} ${to} ${sid} ${answer}${sizes}\r\n`);
  return Buffer.concat([line, ...(hasHeader ? [header] : []), data, Buffer.from('\r\n')]);
};
const cut = (bytes: Buffer, places: readonly number[]): Buffer[] => {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
};

describe('the reader', () => {
  it('reads what the client’s parser reads, wherever the bytes are cut and whenever it begins', () => {
    const places = fc.array(fc.nat(100_000), { maxLength: 12 });
    fc.assert(
      fc.property(
        fc.array(command, { minLength: 1, maxLength: 12 }),
        places,
        fc.nat(3),
        (commands, at, installedAt) => {
          const bytes = Buffer.concat(commands.map(bytesOf));
          const chunks = cut(bytes, at);
          const { arrivals } = read(chunks, Math.min(installedAt, chunks.length - 1));
          expect(arrivals.all).toEqual(withoutReader(bytes));
        },
      ),
      { numRuns: 2000, seed: 20_241_128 },
    );
  });

  it('takes the messages of our own subscriptions itself, and counts them as the client does', () => {
    const own = bytesOf(['a.b', OWN, 'r', Buffer.from('h'), Buffer.from('data'), true]);
    const other = bytesOf(['a.b', 2, null, Buffer.alloc(0), Buffer.from('x'), false]);
    expect(read([Buffer.concat([own, other, own])], 0)).toMatchObject({
      byReader: 2,
      inMsgs: 2,
      received: 2,
    });
  });

  it('leaves what is written otherwise to the client: tabs, two spaces, lower case', () => {
    for (const line of ['MSG\ta 1 1', 'MSG a  1 1', 'msg a 1 1', 'MSG a 1 r  1']) {
      const bytes = Buffer.from(`${line}\r\nx\r\nPING\r\n`);
      const { arrivals, byReader } = read([bytes], 0);
      expect(arrivals.all).toEqual(withoutReader(bytes));
      expect(byReader).toBe(0);
    }
  });

  it.each([
    'MSG a 1\r\nx\r\n',
    'MSG a 1 x\r\nPING\r\n',
    'HMSG a 1 9 1\r\nx\r\n',
    'MSG a b c d e f 1\r\nx\r\n',
    'WHAT\r\n',
    'HMSX a 1 0 1\r\nx\r\n',
  ])('fails as the client does at %j', (text) => {
    const bytes = Buffer.from(text);
    let expected: unknown;
    try {
      withoutReader(bytes);
    } catch (error) {
      expected = error;
    }
    expect(expected).toBeInstanceOf(Error);
    expect(() => read([bytes], 0)).toThrow();
  });

  it('reads a large message that comes in many pieces without copying it for each', () => {
    const data = Buffer.alloc(2 * 1024 * 1024, 'x');
    const bytes = bytesOf(['a', OWN, null, Buffer.alloc(0), data, false]);
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 1024) pieces.push(bytes.subarray(at, at + 1024));
    const copied = jest.spyOn(Buffer, 'concat');
    const { byReader } = read(pieces, 0);
    expect(copied.mock.calls.length).toBe(1);
    copied.mockRestore();
    expect(byReader).toBe(1);
  });

  it('changes nothing of a client that works in another way', () => {
    for (const protocol of [undefined, {}, { parser: {} }, { parser: { parse: () => {}, state: 'start' } }]) {
      const reader = new Reader({ protocol } as unknown as NatsConnection);
      reader.listen(OWN, () => {});
      reader.install();
      expect(protocol?.parser?.constructor ?? Object).toBe(Object);
    }
  });

  it('fits the client that is installed, and reads again after a reconnect', async () => {
    const server = await NatsServer.start();
    const nc = await connect({ servers: server.url, reconnectTimeWait: 10 });
    const reader = new Reader(nc);
    reader.install();
    const parserOf = (): object => (nc as unknown as { protocol: { parser: object } }).protocol.parser;
    expect(parserOf()).not.toBeInstanceOf(Parser);
    const byReader = new Collector<string>('messages');
    const byClient = new Collector<string>('messages');
    const subscription = nc.subscribe('a', { callback: (_error, msg) => byClient.add(msg.string()) });
    reader.listen(subscription.getID(), ({ data }) => byReader.add(data.toString()));
    nc.publish('a', '1');
    await byReader.atLeast(1);
    // What the socket gives does not take the client's way to the parser any more.
    const byLoop = jest.spyOn(parserOf() as { parse(): void }, 'parse');
    nc.publish('a', '1');
    await byReader.atLeast(2);
    expect(byLoop).not.toHaveBeenCalled();

    const statuses = nc.status()[Symbol.asyncIterator]();
    await nc.reconnect();
    for (let type = ''; type !== 'reconnect';) type = ((await statuses.next()).value as Status).type;
    nc.publish('a', '2');
    await byClient.atLeast(1);
    reader.install();
    nc.publish('a', '3');
    await byReader.atLeast(3);
    expect(byReader.items).toEqual(['1', '1', '3']);
    expect(byClient.items).toEqual(['2']);
    expect(subscription.getReceived()).toBe(4);

    reader.forget(subscription.getID());
    nc.publish('a', '4');
    await byClient.atLeast(2);
    await nc.close();
    await server.stop();
  });
});
