import { randomBytes } from 'node:crypto';
import { NonRetryableError } from '@venta/events';
import { onNats } from '../support/on-nats';
import { headerBlock } from '../support/raw-socket';

const nats = onNats();

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

describe('a dead letter on the wire', () => {
  it('has the event, its attributes, and what went wrong where, in these headers', async () => {
    const shop = await nats.service({ appName: 'Web Shop' });
    const billing = await nats.service({ appName: 'Billing Service' });
    await billing.subscribe(
      'order.placed',
      () => {
        throw new TypeError('no such\r\naccount: ü\u0000');
      },
      { name: 'Books.enter' },
    );

    await shop.emit('order.other', null);
    const { sequence } = await shop.emit(
      'order.placed',
      { at: new Date(0) },
      { id: 'order 1', correlationId: 'case 1', time: new Date(1), headers: { 'x-tenant': 'Łódź' } },
    );
    const [letter] = await nats.deadLetters(1);
    const original = (await nats.stored()).find((message) => message.sequence === sequence)!;

    expect(letter!.subject).toBe(
      `${nats.clusterId}-dlq.Billing-Service__Books-enter.${sequence}-${original.storedAt}.order.placed`,
    );
    expect(letter!.body.equals(original.body)).toBe(true);
    const {
      'Event-Failure-First-At': first,
      'Event-Failure-Last-At': last,
      'Nats-Expected-Last-Subject-Sequence': _precondition,
      ...headers
    } = letter!.headers;
    expect(headers).toEqual({
      'x-tenant': 'Łódź',
      'ce-specversion': '1.0',
      'ce-id': 'order%201',
      'ce-source': 'Web-Shop',
      'ce-type': 'order.placed',
      'ce-time': '1970-01-01T00:00:00.001Z',
      'ce-correlationid': 'case%201',
      'ce-datepaths': '#/at',
      'content-type': 'application/json',
      'Event-Failure-Reason': 'attempts_exhausted',
      'Event-Failure-Type': 'TypeError',
      'Event-Failure-Message': 'no such account: ü',
      'Event-Failure-Attempts': '3',
      'Event-Origin-Stream': nats.clusterId,
      'Event-Origin-Sequence': String(sequence),
      'Event-Origin-Subject': nats.subject('order.placed'),
      'Event-Origin-Time': new Date(Number(original.storedAt / 1_000_000n)).toISOString(),
      'Event-Origin-Durable': 'Billing-Service__Books-enter',
      'Event-Origin-App': 'Billing Service',
      'Event-Origin-Handler': 'Books.enter',
    });
    expect([first, last]).toEqual([expect.stringMatching(ISO), expect.stringMatching(ISO)]);
    // Two delays of 20 and 40 ms lie between.
    expect(Date.parse(last!) - Date.parse(first!)).toBeGreaterThanOrEqual(40);
    expect(letter!.headerLines).toHaveLength(Object.keys(letter!.headers).length);
  });

  it('keeps a foreign event to the byte, without what belongs to the server or to an earlier dead letter', async () => {
    const billing = await nats.service({ appName: 'billing' });
    const received = await nats.collect(billing, 'order.placed');
    const body = randomBytes(5000);

    const socket = await nats.socket();
    const block = headerBlock({
      'Nats-Msg-Id': 'their-own',
      'Nats-Expected-Stream': nats.clusterId,
      'nats-anything': '1',
      'NATS-SHOUTED': '2',
      'Ce-Id': 'order%201',
      'X-Tenant': 'a',
      'Event-Failure-Reason': 'forged',
      'event-origin-sequence': '666',
    });
    socket.publish(nats.subject('order.placed'), body, block);
    const [letter] = await nats.deadLetters(1);

    expect(letter!.body.equals(body)).toBe(true);
    expect(letter!.headers['Event-Failure-Reason']).toBe('undecodable');
    expect(letter!.headers['Event-Failure-Attempts']).toBe('1');
    expect(letter!.headers['Event-Origin-Sequence']).toBe('1');
    expect(letter!.headers['X-Tenant']).toBe('a');
    expect(letter!.headers['ce-id']).toBe('order%201');
    const keys = letter!.headerLines.map(([key]) => key.toLowerCase());
    expect(keys.filter((key) => key.startsWith('nats-') && !key.startsWith('nats-expected-'))).toEqual([]);
    expect(letter!.headers).not.toHaveProperty('Nats-Expected-Stream');
    expect(keys).toHaveLength(new Set(keys).size);
    expect(received.items).toEqual([]);
  });

  it('can be found by handler and by event, and each handler has its own', async () => {
    const billing = await nats.service({ appName: 'billing' });
    const fail = (): never => {
      throw new NonRetryableError('no');
    };
    await billing.subscribe('order.placed', fail, { name: 'Books.enter' });
    await billing.subscribe('order.*', fail, { name: 'Audit.note' });

    await billing.emit('order.placed', null);
    await billing.emit('order.paid', null);
    await nats.deadLetters(3);

    const { streams } = await (await nats.client()).jetstreamManager();
    const found = async (filter: string): Promise<number> => {
      const { state } = await streams.info(`${nats.clusterId}-dlq`, {
        subjects_filter: `${nats.clusterId}-dlq.${filter}`,
      });
      return Object.keys(state.subjects ?? {}).length;
    };
    expect(await found('billing__Books-enter.>')).toBe(1);
    expect(await found('billing__Audit-note__order-any.>')).toBe(2);
    expect(await found('*.*.order.placed')).toBe(2);
    expect(await found('*.*.order.paid')).toBe(1);
  });
});
