import { EventsDeserializer } from '@venta/events';

const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const packet = (subject: string): object => ({ pattern: subject, data: 1 });

const { NATS_CLUSTER_ID: _ours, ...before } = process.env;
beforeEach(() => (process.env = { ...before }));
afterAll(() => (process.env = { ...before }));

describe('EventsDeserializer', () => {
  it.each<[string, { clusterId?: string } | undefined, Record<string, string>, string]>([
    ['of the option', { clusterId: 'shop' }, { NATS_CLUSTER_ID: 'other' }, 'shop'],
    ['of NATS_CLUSTER_ID', {}, { NATS_CLUSTER_ID: 'shop' }, 'shop'],
    ['`events`', undefined, {}, 'events'],
  ])('takes for events what arrives on subjects of the cluster %s', (_title, options, env, clusterId) => {
    Object.assign(process.env, env);
    const deserializer = new EventsDeserializer(options);
    const data = { pattern: 'paisley', data: 1, id: 7 };

    const channel = `${clusterId}.user.created`;
    expect(deserializer.deserialize(bytes(data), { channel })).toEqual({ pattern: channel, data });
    for (const other of [
      `${clusterId}-dlq.x`,
      `${clusterId}x.user.created`,
      'user.created',
      '>',
      '*.created',
    ]) {
      expect(deserializer.deserialize(bytes(data), { channel: other })).toEqual(data);
    }
  });

  it.each([
    ['c.user.created', 'c.user.created', true],
    ['c.*.created', 'c.user.created', true],
    ['c.>', 'c.user.created', true],
    ['c.user.>', 'c.user.created', true],
    ['c.user.created', 'c.user.deleted', false],
    ['c.*', 'c.user.created', false],
    ['c.user.*.*', 'c.user.created', false],
    ['c.user.created.>', 'c.user.created', false],
    ['c.>', 'd.user.created', false],
  ])('on %s, takes a packet for %s out of its wrapping: %s', (channel, subject, unwrapped) => {
    const deserializer = new EventsDeserializer({ clusterId: 'c' });

    const event = deserializer.deserialize(bytes(packet(subject)), { channel });
    const asking = deserializer.deserialize(bytes(packet(subject)), { channel, replyTo: '_INBOX.1' });

    expect(event).toEqual(unwrapped ? packet(subject) : { pattern: channel, data: packet(subject) });
    expect(asking).toEqual({ pattern: channel, data: packet(subject) });
  });

  describe('with Nest 12, which shows it the headers,', () => {
    const channel = 'events.user.created';
    const message = (value: unknown, given?: Record<string, string>) => ({
      data: bytes(value),
      headers: given && new Map(Object.entries(given)),
    });
    const read = (value: unknown, given?: Record<string, string>, other = channel): unknown =>
      new EventsDeserializer().deserialize(message(value, given), { channel: other, replyTo: '_INBOX.1' });

    it.each([
      ['a packet', packet(channel)],
      ['a request', { ...packet(channel), id: 'a' }],
      ['neither', { userId: 7 }],
    ])('knows an event by them, on any subject, whatever its data looks like: %s', (_title, data) => {
      expect(read(data, { 'Ce-Specversion': '1.0' })).toEqual({ pattern: channel, data });
      expect(read(data, { 'ce-specversion': '1.0' }, '>')).toEqual({ pattern: '>', data });
    });

    it('takes packets and requests of Nest clients for what they are, and other data for data', () => {
      const request = { ...packet(channel), id: 'a' };
      expect(read(packet(channel))).toEqual(packet(channel));
      expect(read(request, { 'x-tenant': 'a' })).toEqual(request);
      expect(read(packet('paisley'))).toEqual({ pattern: channel, data: packet('paisley') });
      expect(read(packet('paisley'), {}, 'user.created')).toEqual(packet('paisley'));
    });
  });

  it('reads a part of a larger buffer, and without options of Nest', () => {
    const deserializer = new EventsDeserializer();
    const buffer = Buffer.from('xx{"userId":7}yy');
    expect(deserializer.deserialize(buffer.subarray(2, -2))).toEqual({ pattern: '', data: { userId: 7 } });
  });

  it.each(['a.b', '', 'a b', '>', 'shop-dlq'])('refuses the cluster id "%s"', (clusterId) => {
    expect(() => new EventsDeserializer({ clusterId })).toThrow(/`clusterId` must be one token/);
  });

  it('refuses options that it does not know', () => {
    expect(() => new EventsDeserializer({ cluster: 'a' } as never)).toThrow(/unknown option `cluster`/);
  });
});
