import { transportConformance } from '../../lib/testing';
import { natsUnderTest } from '../support/nats-under-test';
import { NatsServer } from '../support/nats-server';

let server: NatsServer;
beforeAll(async () => {
  server = await NatsServer.start();
});
afterAll(() => server.stop());

transportConformance('JetStream', { durable: true, deadLetters: true, maxPayload: 1024 * 1024 }, async () =>
  natsUnderTest(server.url, 'durable'),
);
