import { mkdtemp, rm } from 'node:fs/promises';
import { connect as connectSocket, createServer, type AddressInfo, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { connect, type JetStreamManager, type NatsConnection } from 'nats';
import { readStream, type StoredMessage } from '../../../lib/transports/nats/stream-reader';
import { NatsServer } from '../../support/nats-server';

const MOST = 5;

/** A way to the server on which so many bytes a second come back. */
async function slowLink(port: number, bytesPerSecond: number): Promise<{ url: string; close: () => void }> {
  const EVERY = 50;
  const sockets: Socket[] = [];
  const listener = createServer((client) => {
    const upstream = connectSocket({ port, host: '127.0.0.1' });
    sockets.push(client, upstream);
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
    client.pipe(upstream);
    upstream.on('data', (data) => {
      upstream.pause();
      for (let at = 0; at < data.length; at += (bytesPerSecond * EVERY) / 1000) {
        const part = data.subarray(at, at + (bytesPerSecond * EVERY) / 1000);
        setTimeout(() => client.write(part), (1000 * at) / bytesPerSecond);
      }
      setTimeout(() => upstream.resume(), (1000 * data.length) / bytesPerSecond);
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    url: `nats://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    close: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}

describe('reading a stream', () => {
  let folder: string;
  let server: NatsServer;
  let nc: NatsConnection;
  let jsm: JetStreamManager;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'nats-reader-'));
    // A server may limit how much is asked for at once.
    const limits = `limits { max_request_batch: ${MOST} }`;
    const config = `jetstream { store_dir: ${JSON.stringify(folder)}, ${limits} }`;
    server = await NatsServer.start({ jetstream: false, config });
    nc = await connect({ servers: server.url });
    jsm = await nc.jetstreamManager();
    await jsm.streams.add({ name: 's', subjects: ['s.>'] });
    for (let n = 1; n <= 2 * MOST; n++) await nc.jetstream().publish(`s.${n}`);
  });
  afterAll(async () => {
    await nc.close();
    await server.stop();
    await rm(folder, { recursive: true });
  });

  const read = (limit: number, from = 1): Promise<StoredMessage[]> =>
    readStream(nc, jsm, '_INBOX.test', { stream: 's', filter: 's.>', from, limit, headersOnly: false });

  it('gives what is there, in order, and nothing at the end', async () => {
    expect((await read(MOST, 4)).map(({ subject }) => subject)).toEqual(['s.4', 's.5', 's.6', 's.7', 's.8']);
    expect(await read(MOST, 2 * MOST + 1)).toEqual([]);
  });

  it('that the server refuses says so, instead of finding nothing', async () => {
    await expect(read(MOST + 1)).rejects.toMatchObject({
      code: 'jetstream_unavailable',
      message: expect.stringMatching(/stream 's' cannot be read: .*MaxRequestBatch/) as string,
    });
  });

  it('F68 asks for some bytes after the other, and for a message that is larger than that alone', async () => {
    await jsm.streams.add({ name: 'large', subjects: ['large.>'] });
    const sizes = [300_000, 300_000, 900_000, 10, 700_000];
    for (const size of sizes) await nc.jetstream().publish('large.x', Buffer.alloc(size));
    const query = { stream: 'large', filter: 'large.>', from: 1, limit: MOST, headersOnly: false };
    const bodies = (await readStream(nc, jsm, '_INBOX.test', query)).map(({ body }) => body.length);
    expect(bodies).toEqual(sizes);
  });

  it('F68 takes as long as bytes come, however slowly', async () => {
    const link = await slowLink(server.port, 60_000);
    const slow = await connect({ servers: link.url });
    await jsm.streams.add({ name: 'slow', subjects: ['slow.>'] });
    await nc.jetstream().publish('slow.x', Buffer.alloc(400_000));
    const query = { stream: 'slow', filter: 'slow.>', from: 1, limit: 1, headersOnly: false };
    const [message] = await readStream(slow, await slow.jetstreamManager(), '_INBOX.test', query);
    expect(message?.body).toHaveLength(400_000);
    await slow.close();
    link.close();
  }, 30_000);
});
