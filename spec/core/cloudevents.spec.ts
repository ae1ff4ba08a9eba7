import { decodeAttribute, encodeAttribute } from '../../lib/core/cloudevents';
import { EventMessage } from '../../lib/core/event-message';
import { headerBytes } from '../../lib/core/headers';
import type { EventHeaders } from '../../lib/core/headers';
import { EncodedData } from '../../lib/core/json-codec';
import type { OutboundEvent } from '../../lib/core/middleware';

const event = (more: Partial<OutboundEvent> = {}): OutboundEvent => ({
  id: 'id 1',
  name: 'user.created',
  source: 'shop',
  time: new Date(5),
  data: null,
  correlationId: undefined,
  causationId: undefined,
  headers: {},
  ...more,
});

describe('an attribute', () => {
  it.each([
    ['plain', 'plain'],
    ['', ''],
    ['a b', 'a%20b'],
    ['"quoted"', '%22quoted%22'],
    ['100%', '100%25'],
    ['%20', '%2520'],
    ['ü', '%C3%BC'],
    ['🎉', '%F0%9F%8E%89'],
    ['a\r\nb', 'a%0D%0Ab'],
    ["!#$&'()*+,/:;=?@[]~", "!#$&'()*+,/:;=?@[]~"],
  ])('%j is written as %j, and read back', (value, written) => {
    expect(encodeAttribute(value)).toBe(written);
    expect(decodeAttribute(written)).toBe(value);
  });

  it.each(['100%', '%', '%zz', 'a%2', '%C3'])(
    'of another sender that is no encoding stays as it is: %j',
    (value) => {
      expect(decodeAttribute(value)).toBe(value);
    },
  );
});

const messageOf = (of: OutboundEvent, encoded: EncodedData): EventMessage =>
  new EventMessage(of, encodeAttribute(of.source), of.headers, encoded, of.time.toISOString());

const wireOf = (of: OutboundEvent, encoded: EncodedData): EventHeaders => messageOf(of, encoded).headers;

describe('the headers of an event on the wire', () => {
  it('are the CloudEvents attributes, lower-case, beside those of the user', () => {
    const headers = wireOf(
      event({ headers: { 'X-Own': 'own' }, correlationId: 'c', causationId: 'ü' }),
      new EncodedData('1', '#/at'),
    );
    expect({ ...headers }).toEqual({
      'X-Own': 'own',
      'ce-specversion': '1.0',
      'ce-id': 'id%201',
      'ce-source': 'shop',
      'ce-type': 'user.created',
      'ce-time': '1970-01-01T00:00:00.005Z',
      'ce-correlationid': 'c',
      'ce-causationid': '%C3%BC',
      'ce-datepaths': '#/at',
      'content-type': 'application/json',
    });
  });

  it('have the event’s own id as correlation where there is none, and nothing that is absent', () => {
    const headers = wireOf(event(), new EncodedData('1', undefined));
    expect(headers['ce-correlationid']).toBe('id%201');
    expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(['ce-causationid']));
    expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(['ce-datepaths']));
  });
});

describe('the message id', () => {
  it('is of name, source and id, encoded alike, so that no two events share one by accident', () => {
    const idOf = (id?: string): string => {
      const { name, ...of } = event(id === undefined ? {} : { id });
      return messageOf({ name, ...of }, new EncodedData('1', undefined)).messageId;
    };
    expect(idOf()).toBe('user.created:shop:id%201');
    expect(idOf('a:b')).toBe('user.created:shop:a:b');
  });
});

describe('the bytes of an event’s headers', () => {
  const own = { 'X-Own': 'ö' };
  const encoded = new EncodedData('1', '#/at');
  const bytesOf = (of: OutboundEvent): number => {
    const { headers, messageId } = messageOf(of, encoded);
    return headerBytes({ ...headers, 'Nats-Msg-Id': messageId });
  };

  it('are counted to the last one', () => {
    const room = 15 * 1024 - bytesOf(event({ headers: own, correlationId: 'c', causationId: 'd' }));
    const filled = (more: number): OutboundEvent =>
      event({ headers: { 'X-Own': `ö${'x'.repeat(more)}` }, correlationId: 'c', causationId: 'd' });
    expect(bytesOf(filled(room))).toBe(15 * 1024);
    expect(() => messageOf(filled(room + 1), encoded)).toThrow('the headers take 15361 bytes together');
  });
});
