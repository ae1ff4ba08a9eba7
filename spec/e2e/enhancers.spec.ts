import { randomUUID } from 'node:crypto';
import { applications } from '../support/applications';
import { enhancerMatrix } from '../support/enhancer-matrix';
import { NatsServer } from '../support/nats-server';

let server: NatsServer;
beforeAll(async () => {
  server = await NatsServer.start();
});
afterAll(() => server.stop());

describe.each(['durable', 'ephemeral'] as const)('on NATS, %s', (delivery) => {
  enhancerMatrix(
    applications(() => ({ url: server.url, clusterId: `c${randomUUID().slice(0, 8)}`, delivery })).start,
  );
});
