import { createServer, connect as dial, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { connect, type Msg, type NatsConnection } from 'nats';
import { Frames } from '../../../lib/transports/nats/frames';
import { asSubject, type Subject } from '../../../lib/core/subject';
import { encodeHeaders, decodeHeaders } from '../../../lib/transports/nats/header-block';
import { ReceivedMessage } from '../../../lib/transports/nats/received-message';
import type { WireMessage } from '../../../lib/transports/nats/wire-message';
import { Collector } from '../../../lib/testing/conformance/collector';
import { NatsServer } from '../../support/nats-server';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
const message = (subject: string, body: Uint8Array | string, headers = {}): WireMessage => ({
  subject: asSubject(subject),
  header: encodeHeaders({ a: 'b', ...headers }),
  body,
  bodyLength: Buffer.byteLength(body),
});

describe.each(['as the installed client has it', 'as an unknown client has it'])(
  'messages in one piece, %s',
  (client) => {
    const known = client.includes('installed');
    let server: NatsServer;
    let nc: NatsConnection;
    let frames: Frames;
    let arrived: Collector<Msg>;

    beforeAll(async () => (server = await NatsServer.start()));
    afterAll(() => server.stop());
    beforeEach(async () => {
      nc = await connect({ servers: server.url });
      arrived = new Collector<Msg>('messages');
      nc.subscribe('>', { callback: (_error, msg) => arrived.add(msg) });
      await nc.flush();
      // Without what is not in its interface, as another version may be.
      const bare = {
        publish: (...args: Parameters<NatsConnection['publish']>) => nc.publish(...args),
        isClosed: () => nc.isClosed(),
        isDraining: () => nc.isDraining(),
        info: nc.info,
      };
      frames = new Frames(known ? nc : (bare as unknown as NatsConnection));
    });
    afterEach(() => nc.close());

    it('are answered to whatever subject a sender has thought of, and to nothing else', async () => {
      // In one byte each, these letters would be a line break, and a space.
      const reply = 'e.\u010d\u010aPUB\u0120injected\u01202\u010d\u010ahi';
      frames.answer(reply, '+ACK');
      frames.answer('f', '-NAK');
      await arrived.atLeast(2);
      expect(arrived.items.map(({ subject, data }) => [subject, text(data)])).toEqual([
        [reply, '+ACK'],
        ['f', '-NAK'],
      ]);
    });

    it.each(['a b', 'a\tb', 'a\r\nPUB x 0\r\n', 'a\u0000', 'a\u007f', 'ö\u0085', ''])(
      'F58 are refused to the subject %j, whoever asks for it, and others go',
      async (subject) => {
        expect(() => frames.publish({ ...message('a', '1'), subject: subject as Subject })).toThrow(
          TypeError,
        );
        expect(() => frames.answer(subject, '+ACK')).toThrow(TypeError);
        frames.answer('b', '+ACK');
        frames.publish(message('a', '2'));
        await arrived.atLeast(2);
        expect(arrived.items.map((each) => [each.subject, text(each.data)])).toEqual([
          ['b', '+ACK'],
          ['a', '2'],
        ]);
      },
    );

    it('arrive as they are, in their order: text, bytes, other letters, an empty body, a reply', async () => {
      frames.publish(
        { subject: asSubject('a'), header: 'NATS/1.0\r\nx: y\r\n\r\n', body: '{"n":1}', bodyLength: 7 },
        'r.1',
      );
      frames.publish({
        subject: asSubject('b'),
        header: 'NATS/1.0\r\nx: y\r\n\r\n',
        body: '"ö€😀"',
        bodyLength: 11,
      });
      frames.publish(message('c.naïve', Buffer.from([0, 255, 13, 10])));
      frames.publish(message('d', '', { x: 'ä' }));
      frames.answer('e', '+ACK');
      await arrived.atLeast(5);
      expect(arrived.items.map(({ subject, reply, data }) => [subject, reply, text(data)])).toEqual([
        ['a', 'r.1', '{"n":1}'],
        ['b', '', '"ö€😀"'],
        ['c.naïve', '', text(Buffer.from([0, 255, 13, 10]))],
        ['d', '', ''],
        ['e', '', '+ACK'],
      ]);
      const headers = arrived.items.map((msg) => ({ ...decodeHeaders(ReceivedMessage.of(msg).headerBlock) }));
      expect(headers).toEqual([{ x: 'y' }, { x: 'y' }, { a: 'b' }, { a: 'b', x: 'ä' }, {}]);
    });

    it('of any size arrive whole', async () => {
      const sizes = [1, 1000, 31_000, 33_000, 64 * 1024, 300_000, 5, 65_000, 65_000];
      for (const size of sizes) frames.publish(message('size', 'x'.repeat(size)));
      for (let n = 0; n < 2000; n++) frames.publish(message('many', String(n)));
      await arrived.atLeast(sizes.length + 2000);
      expect(arrived.items.slice(0, sizes.length).map(({ data }) => data.length)).toEqual(sizes);
      expect(arrived.items.slice(sizes.length).map(({ data }) => Number(text(data)))).toEqual(
        Array.from({ length: 2000 }, (_, n) => n),
      );
    });

    it('are before what the client sends after a flush', async () => {
      frames.publish(message('first', '1'));
      frames.flush();
      nc.publish('second');
      await arrived.atLeast(2);
      expect(arrived.items.map(({ subject }) => subject)).toEqual(['first', 'second']);
    });

    it('that are too large, or to a connection that is closed, are refused as by the client', async () => {
      const large = message('large', Buffer.alloc(1024 * 1024 + 1));
      expect(() => frames.publish(large)).toThrow('MAX_PAYLOAD_EXCEEDED');
      frames.publish(message('small', '1'));
      await arrived.atLeast(1);
      await nc.close();
      expect(() => frames.publish(message('late', '1'))).toThrow('CONNECTION_CLOSED');
      expect(() => frames.answer('late', '+ACK')).toThrow('CONNECTION_CLOSED');
    });
  },
);

describe('the memory that messages are written to', () => {
  /** What the client has, on this socket. */
  const framesOn = (
    socket: () => Pick<Socket, 'writableLength'>,
    sendCommand: (bytes: Uint8Array) => void,
    size = () => 0,
  ): Frames =>
    new Frames({
      info: { max_payload: 1024 * 1024 },
      isClosed: () => false,
      isDraining: () => false,
      protocol: {
        sendCommand,
        flushPending: () => {},
        outMsgs: 0,
        outBytes: 0,
        outbound: { size },
        transport: {
          get socket() {
            return socket();
          },
        },
      },
    } as unknown as NatsConnection);

  it('is used again when the socket has sent all of it, and not before', () => {
    const sent: Uint8Array[] = [];
    const socket = { writableLength: 0 };
    let waiting = 0;
    let current = socket;
    const frames = framesOn(
      () => current,
      (bytes) => void sent.push(bytes),
      () => waiting,
    );
    const send = (body: string): void => {
      frames.publish(message('a', body));
      frames.flush();
    };
    const shown = (): string[] => sent.map((bytes) => /(\w+)\r\n$/.exec(text(bytes))?.[1] ?? '');

    send('one');
    send('two');
    expect(shown()).toEqual(['two', 'two']);
    socket.writableLength = 10;
    send('three');
    socket.writableLength = 0;
    waiting = 1; // with the client, which has no connection
    send('four');
    expect(shown().slice(1)).toEqual(['two', 'three', 'four']);
    waiting = 0;
    // Another connection: the last one may still be sending.
    current = { writableLength: 0 };
    send('five');
    expect(shown().slice(1)).toEqual(['two', 'three', 'four', 'five']);
    expect(sent[4]?.buffer).not.toBe(sent[0]?.buffer);
    send('six');
    expect(sent[5]?.buffer).toBe(sent[4]?.buffer);
  });

  it('is not kept when one large message took it', () => {
    const sent: Uint8Array[] = [];
    const socket = { writableLength: 0 };
    const frames = framesOn(
      () => socket,
      (bytes) => void sent.push(bytes),
    );
    for (const size of [1, 900_000, 1]) {
      frames.publish(message('a', 'x'.repeat(size)));
      frames.flush();
    }
    const [before, large, after] = sent.map(({ buffer }) => buffer.byteLength);
    expect(large).toBeGreaterThan(900_000);
    expect(after).toBe(before);
  });

  it('keeps what a slow server has not read', async () => {
    const listening = createServer().listen(0, '127.0.0.1');
    await once(listening, 'listening');
    const accepted = once(listening, 'connection') as Promise<[Socket]>;
    const socket = dial((listening.address() as AddressInfo).port, '127.0.0.1');
    const [peer] = await accepted;
    peer.pause();
    const frames = framesOn(
      () => socket,
      (bytes) => void socket.write(bytes),
    );
    const expected: string[] = [];
    for (let turn = 0; turn < 300; turn++) {
      for (let n = 0; n < 5; n++) {
        const body = `${turn}-${n}-`.repeat(1000);
        const header = 'NATS/1.0\r\na: b\r\n\r\n';
        frames.publish({ subject: asSubject('a'), header, body, bodyLength: body.length });
        expected.push(`HPUB a ${header.length} ${header.length + body.length}\r\n${header}${body}\r\n`);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(socket.writableLength).toBeGreaterThan(0);
    const read: Buffer[] = [];
    peer.on('data', (bytes) => read.push(bytes)).resume();
    socket.end();
    await once(peer, 'end');
    expect(Buffer.concat(read).toString() === expected.join('')).toBe(true);
    peer.destroy();
    listening.close();
  });
});

describe('the bytes of a message', () => {
  it('are found alike where the client shows them and where it does not', async () => {
    const server = await NatsServer.start();
    const nc = await connect({ servers: server.url });
    const arrived = new Collector<Msg>('messages');
    nc.subscribe('>', { callback: (_error, msg) => arrived.add(msg) });
    new Frames(nc).publish(message('with.reply', '{"a":1}'), 'r');
    new Frames(nc).publish(message('without', ''));
    nc.publish('bare', 'x');
    nc.publish('empty');
    await arrived.atLeast(4);
    for (const msg of arrived.items) {
      const { subject, reply, data } = msg;
      const size = (msg as Msg & { size(): number }).size();
      const other = { subject, reply, data, size: () => size } as unknown as Msg;
      const [shown, found] = [ReceivedMessage.of(msg), ReceivedMessage.of(other)];
      expect(found.headerLength).toBe(shown.headerLength);
      expect(Buffer.compare(found.bytes, shown.bytes)).toBe(0);
      expect(text(found.data)).toBe(text(data));
      expect(text(shown.data)).toBe(text(data));
    }
    // The fast way is taken with the client that is installed, or this package is slower than it says.
    expect(Buffer.isBuffer((arrived.items[0] as unknown as { _rdata: unknown })._rdata)).toBe(true);
    await nc.close();
    await server.stop();
  });
});
