import type { ConsumerDeserializer, IncomingEvent, IncomingRequest } from '@nestjs/microservices';
import { CE } from '../../core/cloudevents';
import { readSettings } from '../../core/settings';
import { CLUSTER_ID, DEFAULT_CLUSTER_ID } from '../options/resolve-options';

/** A message of the client, as Nest 12 gives it; Nest 11 gives its `data` alone. */
interface NatsMessage {
  readonly data: Uint8Array;
  readonly headers?: { keys(): Iterable<string> } | undefined;
}

interface Packet {
  readonly pattern: unknown;
  readonly data: unknown;
  readonly id?: unknown;
}

/**
 * For Nest's own NATS transport in services that handle our events with `@EventPattern('<clusterId>.user.created')`:
 * `options: { deserializer: new EventsDeserializer() }`. Without it, Nest takes data that has a field `pattern`, `data` or
 * `id` for a packet of its own.
 *
 * What arrives on a subject of the cluster is an event, and its body is the data; dates stay the text that JSON makes of
 * them. Packets in which a `ClientProxy` of Nest emits are recognised there by a `pattern` that is the subject. Other
 * subjects are read as Nest does. A body that is no JSON arrives as text.
 *
 * Nest 12 shows a deserializer the headers, and our events are known by them. Nest 11 does not: there a packet is a body
 * of nothing but `pattern` and `data` that asks for no answer, as does an ephemeral event whose data is such a packet.
 */
export class EventsDeserializer implements ConsumerDeserializer {
  readonly #prefix: string;

  /**
   * @param options `clusterId`: that of the services whose events are read. Default: `NATS_CLUSTER_ID`, else `events`
   * @throws EventsConfigurationError
   */
  constructor(options: { clusterId?: string } = {}) {
    const { clusterId } = readSettings('', options, process.env, { clusterId: CLUSTER_ID });
    this.#prefix = `${clusterId?.value ?? DEFAULT_CLUSTER_ID}.`;
  }

  deserialize(
    message: Uint8Array | NatsMessage,
    { channel = '', replyTo }: { channel?: string; replyTo?: string } = {},
  ): IncomingEvent | IncomingRequest {
    const isBare = message instanceof Uint8Array;
    const value = parse(isBare ? message : message.data);
    const asData = { pattern: channel, data: value };
    if (!isBare && isCloudEvent(message)) return asData;
    if (!channel.startsWith(this.#prefix)) return isNestPacket(value) ? value : asData;
    if (!isNestPacket(value) || !isAddressed(value, channel)) return asData;
    if (!isBare) return value;
    // A stream answers whatever asks for it: what does is an emit that waits for its confirmation, and never a packet.
    const asksNothing = replyTo === undefined || replyTo === '';
    return asksNothing && !('id' in value) ? value : asData;
  }
}

/** Nest does not look after a deserializer that throws, and the process would end. */
function parse(body: Uint8Array): unknown {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8');
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

const isCloudEvent = ({ headers }: NatsMessage): boolean =>
  headers !== undefined && [...headers.keys()].some((key) => key.toLowerCase() === CE.specversion);

/** As Nest's own deserializer tells. */
function isNestPacket(value: unknown): value is IncomingEvent & Packet {
  if (typeof value !== 'object' || value === null) return false;
  const { pattern, data } = value as Partial<Packet>;
  return pattern !== undefined || data !== undefined;
}

const FIELDS = ['pattern', 'data', 'id'];

/** Whether it is nothing but a packet for a subject that the channel takes. */
const isAddressed = (packet: Packet, channel: string): boolean =>
  typeof packet.pattern === 'string' &&
  'data' in packet &&
  Object.keys(packet).every((key) => FIELDS.includes(key)) &&
  matches(channel, packet.pattern);

/** Whether the subject is among those that were subscribed to, with `*` for a token and a last `>` for the rest. */
function matches(channel: string, subject: string): boolean {
  if (channel === subject) return true;
  const wanted = channel.split('.');
  const tokens = subject.split('.');
  const rest = wanted.indexOf('>');
  if (rest === -1 ? tokens.length !== wanted.length : tokens.length <= rest) return false;
  return wanted.every((token, i) => token === '>' || token === '*' || token === tokens[i]);
}
