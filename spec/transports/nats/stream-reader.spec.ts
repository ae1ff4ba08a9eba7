import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { connect, type JetStreamManager, type NatsConnection } from 'nats';
import { readStream, type StoredMessage } from '../../../lib/transports/nats/stream-reader';
import { NatsServer } from '../../support/nats-server';

const MOST = 5;

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
});
