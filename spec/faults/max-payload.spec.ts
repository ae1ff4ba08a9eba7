import { EventsError, NonRetryableError, type EventService } from '@venta/events';
import { eventually } from '../../lib/testing/conformance/collector';
import { onNats } from '../support/on-nats';
import { headerBlock } from '../support/raw-socket';

const MAX_PAYLOAD = 64 * 1024;
const nats = onNats({ maxPayload: MAX_PAYLOAD });

/** Emits text as long as `emit` accepts under this name; returns its length. */
async function emitLongest(
  service: EventService,
  name: string,
  headers: Record<string, string> = {},
): Promise<number> {
  let [accepted, refused] = [0, MAX_PAYLOAD + 1];
  while (refused - accepted > 1) {
    const length = Math.floor((accepted + refused) / 2);
    try {
      await service.emit('probe'.padEnd(name.length, '-'), 'x'.repeat(length), {
        headers,
        id: 'probe '.padEnd(36),
      });
      accepted = length;
    } catch (error) {
      if (!(error instanceof EventsError && error.code === 'payload_too_large')) throw error;
      refused = length;
    }
  }
  await service.emit(name, 'x'.repeat(accepted), { headers, id: 'final '.padEnd(36) });
  return accepted;
}

const fail = (): never => {
  throw new NonRetryableError('no such account, äöü: '.repeat(200));
};

describe('the largest event that emit accepts', () => {
  it.each(['durable', 'ephemeral'] as const)(
    'is handled, and can be dead-lettered (%s)',
    async (delivery) => {
      const service = await nats.service();
      const received = await nats.collect(service, 'order.placed', fail, { delivery });

      const length = await emitLongest(service, 'order.placed');
      const [letter] = await nats.deadLetters(1);

      expect(length).toBeGreaterThan(MAX_PAYLOAD - 5 * 1024);
      expect(received.items[0]!.data).toHaveLength(length);
      expect(letter!.body.length).toBe(length + 2);
      expect(letter!.headers).toMatchObject({
        'ce-id': 'final'.padEnd(5 + 31 * 3, '%20'),
        'Event-Failure-Reason': 'non_retryable',
      });
      expect(service.status.problems).toEqual([]);
    },
  );

  it('can be dead-lettered under the longest names, with headers of its own', async () => {
    const name = `order.${'n'.repeat(194)}`;
    const clusterId = nats.clusterId.padEnd(100, 'x');
    const service = await nats.service({ appName: 'ä name '.repeat(60), clusterId });
    await nats.collect(service, name, fail, { name: 'Handlér.'.repeat(60) });

    const length = await emitLongest(service, name, { 'x-tenant': 'ü'.repeat(2000) });
    const [letter] = await eventually(
      () => nats.stored(`${clusterId}-dlq`),
      (letters) => letters.length === 1,
      () => `there is no dead letter: ${service.status.problems.join('; ')}`,
    );

    expect(letter!.body.length).toBe(length + 2);
    expect(letter!.headers['x-tenant']).toBe('ü'.repeat(2000));
    expect(service.status.problems).toEqual([]);
  });
});

describe('the largest headers that emit accepts', () => {
  it.each([
    ['short ids', '1', '2'],
    ['the longest ids', '日'.repeat(256), '本'.repeat(256)],
  ])('are read by a handler, and can be dead-lettered (%s)', async (_title, id, otherId) => {
    const service = await nats.service();
    const received = await nats.collect(service, 'order.placed', fail);
    const options = { correlationId: id, causationId: id };

    let [accepted, refused] = [0, 20 * 1024];
    while (refused - accepted > 1) {
      const length = Math.floor((accepted + refused) / 2);
      try {
        const headers = { 'x-large': 'x'.repeat(length) };
        await service.emit('order.probed', null, { ...options, id: otherId, headers });
        accepted = length;
      } catch (error) {
        if (!(error instanceof EventsError && error.code === 'invalid_header')) throw error;
        refused = length;
      }
    }
    await service.emit('order.placed', null, {
      ...options,
      id,
      headers: { 'x-large': 'x'.repeat(accepted) },
    });
    const [letter] = await nats.deadLetters(1);

    expect(accepted).toBeGreaterThan(5 * 1024);
    expect(letter!.headers['Event-Failure-Reason']).toBe('non_retryable');
    expect(letter!.headers['x-large']).toHaveLength(accepted);
    expect(received.items[0]!.context.id).toBe(id);
  });
});

describe('an event of another client that leaves no room for the failure', () => {
  it('is dead-lettered without its headers, where that is enough', async () => {
    const service = await nats.service();
    await nats.collect(service, 'order.placed', (data) => (data === 'good' ? undefined : fail()));
    const block = headerBlock({ 'x-large': 'x'.repeat(8 * 1024) });
    const body = JSON.stringify('y'.repeat(MAX_PAYLOAD - block.length - 2));

    const socket = await nats.socket();
    socket.publish(nats.subject('order.placed'), body, block);
    await socket.flush();
    await service.emit('order.placed', 'good');
    const [letter] = await nats.deadLetters(1);

    expect(letter!.body.toString() === body).toBe(true);
    expect(letter!.headers).toMatchObject({
      'Event-Failure-Reason': 'non_retryable',
      'Event-Origin-Stream': nats.clusterId,
      'Event-Origin-Sequence': '1',
    });
    expect(letter!.headers).not.toHaveProperty('x-large');
    await nats.settled('shop__order-placed');
    expect(service.status.problems).toEqual([]);
  });

  it('leaves a record of its stream and sequence, where even the body is too large', async () => {
    const service = await nats.service();
    await nats.collect(service, 'order.placed', (data) => (data === 'good' ? undefined : fail()));
    const body = JSON.stringify('y'.repeat(MAX_PAYLOAD - 2));

    const socket = await nats.socket();
    socket.publish(nats.subject('order.placed'), body);
    await socket.flush();
    await service.emit('order.placed', 'good');
    const [record] = await nats.deadLetters(1);

    expect(record!.subject).toMatch(
      new RegExp(`^${nats.clusterId}-dlq\\.shop__order-placed\\.1-\\d+\\.order\\.placed$`),
    );
    expect(record!.headers).toMatchObject({
      'Event-Failure-Reason': 'non_retryable',
      'Event-Origin-Stream': nats.clusterId,
      'Event-Origin-Sequence': '1',
      'Event-Origin-Subject': nats.subject('order.placed'),
    });
    expect(record!.body.length).toBeLessThan(1024);
    await nats.settled('shop__order-placed');
    expect(service.status.problems).toEqual([]);
  });
});
