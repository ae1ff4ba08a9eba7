import { transportConformance } from '../../lib/testing';
import { natsUnderTest, natsWithStreams } from '../support/nats-under-test';
import { NatsServer } from '../support/nats-server';

const MAX_PAYLOAD = 1024 * 1024;

let server: NatsServer;
beforeAll(async () => {
  server = await NatsServer.start();
});
afterAll(() => server.stop());

transportConformance('core NATS', { durable: false, deadLetters: false, maxPayload: MAX_PAYLOAD }, async () =>
  natsUnderTest(server.url, 'ephemeral'),
);

transportConformance(
  'core NATS, where there are streams',
  { durable: false, deadLetters: true, maxPayload: MAX_PAYLOAD },
  () => natsWithStreams(server.url, 'ephemeral'),
);
