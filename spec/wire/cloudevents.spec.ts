import { CloudEvent, HTTP } from 'cloudevents';
import { onNats } from '../support/on-nats';
import { headerBlock } from '../support/raw-socket';
import type { StoredMessage } from '../support/stored-messages';

const nats = onNats();

/**
 * What the NATS binding asks of a receiver: percent-decode the attributes, once. With that, the message has the shape of
 * the HTTP binding, which the package implements.
 * https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md
 */
function read({ headerLines, body }: StoredMessage): CloudEvent<unknown> {
  const headers = Object.fromEntries(
    headerLines.map(([key, value]) => [key, key.startsWith('ce-') ? decodeURIComponent(value) : value]),
  );
  const event = HTTP.toEvent({ headers, body: body.toString('utf8') }) as CloudEvent<unknown>;
  return new CloudEvent({ ...event }, true);
}

describe('an event as the cloudevents package reads it', () => {
  it('is valid, and has every attribute', async () => {
    const service = await nats.service({ appName: 'Übersee & Söhne' });
    const placedAt = new Date('2026-01-02T03:04:05.678Z');

    await service.emit(
      'order.placed',
      { number: 7, to: 'Zoë 🚚', placedAt, 'a key, with %': placedAt },
      {
        id: 'order 100% "Zoë" 🚚',
        correlationId: 'case/ä?b=c&d',
        causationId: '"quoted" %41',
        time: new Date('2026-02-03T04:05:06.789Z'),
        headers: { 'x-tenant': 'Łódź' },
      },
    );
    const [message] = await nats.stored();

    const event = read(message!);
    expect(event.validate()).toBe(true);
    expect(JSON.parse(event.toString())).toEqual({
      specversion: '1.0',
      id: 'order 100% "Zoë" 🚚',
      source: '-bersee-S-hne',
      type: 'order.placed',
      time: '2026-02-03T04:05:06.789Z',
      datacontenttype: 'application/json',
      correlationid: 'case/ä?b=c&d',
      causationid: '"quoted" %41',
      datepaths: '#/placedAt,#/a%20key%2C%20with%20%25',
      data: {
        number: 7,
        to: 'Zoë 🚚',
        placedAt: '2026-01-02T03:04:05.678Z',
        'a key, with %': '2026-01-02T03:04:05.678Z',
      },
    });
  });

  it('is valid without options, and tells no more than there is', async () => {
    const service = await nats.service();
    const before = Date.now();

    const { id } = await service.emit('order.placed', { number: 7 });
    const [message] = await nats.stored();

    const { time, ...event } = JSON.parse(read(message!).toString()) as { time: string };
    expect(event).toEqual({
      specversion: '1.0',
      id,
      source: 'shop',
      type: 'order.placed',
      datacontenttype: 'application/json',
      correlationid: id,
      data: { number: 7 },
    });
    expect(Date.parse(time)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(time)).toBeLessThanOrEqual(Date.now());
  });

  it.each(['日本', '...', '"\'%', '\u{1f69a}'.repeat(200)])(
    'has a valid source, whatever the service is called: %j',
    async (appName) => {
      const service = await nats.service({ appName });

      await service.emit('order.placed', null);
      const [message] = await nats.stored();

      expect(message!.headers['ce-source']).toMatch(/^[\w-]{1,100}$/);
      expect(read(message!).validate()).toBe(true);
    },
  );
});

describe('an attribute on the wire', () => {
  it.each([
    ['Euro € 😀', 'Euro%20%E2%82%AC%20%F0%9F%98%80'],
    ['100%', '100%25'],
    ['%41', '%2541'],
    ['"quoted"', '%22quoted%22'],
    ["a:b/c?d#e[f]@!$&'()*+,;=~", "a:b/c?d#e[f]@!$&'()*+,;=~"],
    ['\u00a0\u2028\ufeff', '%C2%A0%E2%80%A8%EF%BB%BF'],
    [' edge ', '%20edge%20'],
  ])('%j is written as %s', async (value, written) => {
    const service = await nats.service();

    await service.emit('order.placed', 1, { id: value, correlationId: value, causationId: value });
    const [message] = await nats.stored();

    const { headers, headerBlock: block } = message!;
    expect([headers['ce-id'], headers['ce-correlationid'], headers['ce-causationid']]).toEqual(
      Array(3).fill(written),
    );
    expect(headers['Nats-Msg-Id']).toBe(`order.placed:shop:${written}`);
    expect(block.toString('latin1')).toMatch(/^[\x20-\x7e\r\n]+$/);
  });
});

describe('a CloudEvent of another sender', () => {
  const spellings: readonly (readonly [string, (key: string) => string])[] = [
    ['lower case', (key) => key.toLowerCase()],
    ['upper case', (key) => key.toUpperCase()],
    ['Ce-Id', (key) => key.toLowerCase().replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())],
    ['cE-iD', (key) => [...key].map((c, i) => (i % 2 === 0 ? c.toLowerCase() : c.toUpperCase())).join('')],
  ];

  it.each(spellings)('is understood with its headers in %s', async (_title, spell) => {
    const service = await nats.service();
    const received = await nats.collect(service, 'order.placed');
    const { headers, body } = HTTP.binary(
      new CloudEvent(
        {
          id: 'order 1 ü',
          source: 'https://elsewhere.example/a b',
          type: 'order.placed',
          time: '2026-01-02T03:04:05.678Z',
          datacontenttype: 'application/json',
          correlationid: 'case 1',
          causationid: 'cause 1',
          datepaths: '#/placedAt',
          data: { placedAt: '2026-01-02T03:04:05.678Z' },
        },
        false,
      ),
    );
    const block = headerBlock({
      ...Object.fromEntries(
        Object.entries(headers).map(([key, value]) => [spell(key), encodeURI(String(value))]),
      ),
      [spell('traceparent')]: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    });

    const socket = await nats.socket();
    socket.publish(nats.subject('order.placed'), String(body), block);
    const [item] = await received.atLeast(1);

    const { id, source, time, correlationId, causationId, name } = item!.context;
    expect({ id, source, time, correlationId, causationId, name, data: item!.data }).toEqual({
      id: 'order 1 ü',
      source: 'https://elsewhere.example/a b',
      time: new Date('2026-01-02T03:04:05.678Z'),
      correlationId: 'case 1',
      causationId: 'cause 1',
      name: 'order.placed',
      data: { placedAt: new Date('2026-01-02T03:04:05.678Z') },
    });
    expect({ ...item!.context.headers }).toEqual({
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    });
  });

  it.each([
    ['lower-case hexadecimal digits', 'caf%c3%a9', 'café'],
    ['an encoding that was not needed', '%61bc', 'abc'],
    ['a literal percent sign', '100%', '100%'],
    ['one round of decoding only', '%2541', '%41'],
    ['quotes, as older senders write them', '"a \\"b\\" c"', 'a "b" c'],
  ])('is decoded with %s', async (_title, written, id) => {
    const service = await nats.service();
    const received = await nats.collect(service, 'order.placed');

    const socket = await nats.socket();
    const block = headerBlock({
      'ce-specversion': '1.0',
      'ce-id': written,
      'ce-source': 'a',
      'ce-type': 't',
    });
    socket.publish(nats.subject('order.placed'), '1', block);
    const [item] = await received.atLeast(1);

    expect(item!.context.id).toBe(id);
  });

  it('is understood without the attributes that are optional', async () => {
    const service = await nats.service();
    const received = await nats.collect(service, 'order.placed');
    const before = Date.now();

    const socket = await nats.socket();
    const block = headerBlock({ 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' });
    socket.publish(nats.subject('order.placed'), '{"number":7}', block);
    const [item] = await received.atLeast(1);

    const { id, source, time, correlationId, causationId } = item!.context;
    expect(item!.data).toEqual({ number: 7 });
    expect({ id, source, correlationId, causationId }).toEqual({
      id: '1',
      source: '/s',
      correlationId: '1',
      causationId: undefined,
    });
    expect(Math.abs(time.getTime() - before)).toBeLessThan(60_000);
  });
});
