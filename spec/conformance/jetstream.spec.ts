import { connect } from 'nats';
import { NonRetryableError } from '../../lib/core/errors';
import { durableName } from '../../lib/core/names';
import { transportConformance } from '../../lib/testing';
import { Harness, untilDead } from '../../lib/testing/conformance/harness';
import { natsUnderTest } from '../support/nats-under-test';
import { NatsServer } from '../support/nats-server';

const FEATURES = { durable: true, deadLetters: true, maxPayload: 1024 * 1024 };

let server: NatsServer;
beforeAll(async () => {
  server = await NatsServer.start();
});
afterAll(() => server.stop());

transportConformance('JetStream', FEATURES, async () => natsUnderTest(server.url, 'durable'));

// Only an operator removes a durable; the suite has none.
it('a dead letter stays one when the durable of its handler was removed at the server', async () => {
  const harness = new Harness(natsUnderTest(server.url, 'durable'), FEATURES);
  try {
    const operator = await harness.service('operator');
    const billing = await harness.service('billing');
    const giveUp = (): never => {
      throw new NonRetryableError('never');
    };
    await billing.on('invoice.issued', giveUp, { name: 'Books.enter' });
    await billing.emit('invoice.issued', null);
    const [letter] = await untilDead(operator, 1);
    await billing.events.drain();
    const connection = await connect({ servers: server.url });
    const { consumers } = await connection.jetstreamManager();
    await consumers.delete(letter?.origin.stream ?? '', durableName('billing', 'Books.enter'));
    await connection.close();

    const { deadLetters } = operator.events;
    await expect(deadLetters.redrive(letter?.id ?? '')).rejects.toMatchObject({ code: 'no_handler' });
    expect(await deadLetters.redrive({})).toMatchObject({
      redriven: [],
      refused: [{ id: letter?.id, error: { code: 'no_handler' } }],
    });
    expect((await untilDead(operator, 1))[0]?.id).toBe(letter?.id);
  } finally {
    await harness.end();
  }
}, 60_000);
