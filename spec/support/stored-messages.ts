import type { NatsConnection } from 'nats';

/** A message as a stream keeps it, to the byte. */
export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  /** Nanoseconds since the epoch. */
  readonly storedAt: bigint;
  readonly headerBlock: Buffer;
  /** Its lines as pairs, in order and as spelt. */
  readonly headerLines: readonly (readonly [key: string, value: string])[];
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

interface Answer {
  readonly message?: { subject: string; seq: number; time: string; hdrs?: string; data?: string };
  readonly error?: { err_code: number; description: string };
}

const NO_MESSAGE_FOUND = 10037;

/** All messages of a stream, oldest first. Read through the API itself, since the client rewrites header keys. */
export async function storedMessages(client: NatsConnection, stream: string): Promise<StoredMessage[]> {
  const messages: StoredMessage[] = [];
  for (let sequence = 1; ;) {
    const request = JSON.stringify({ seq: sequence, next_by_subj: '>' });
    const reply = await client.request(`$JS.API.STREAM.MSG.GET.${stream}`, request);
    const { message, error } = reply.json<Answer>();
    if (error?.err_code === NO_MESSAGE_FOUND) return messages;
    if (message === undefined) throw new Error(`stream '${stream}': ${error?.description ?? 'no answer'}`);
    const block = Buffer.from(message.hdrs ?? '', 'base64');
    const headerLines = linesOf(block);
    messages.push({
      subject: message.subject,
      sequence: message.seq,
      storedAt: nanosOf(message.time),
      headerBlock: block,
      headerLines,
      headers: Object.fromEntries(headerLines),
      body: Buffer.from(message.data ?? '', 'base64'),
    });
    sequence = message.seq + 1;
  }
}

/** @throws Error if a block that is there does not have the form `NATS/1.0` and lines of `key: value` */
function linesOf(block: Buffer): [string, string][] {
  if (block.length === 0) return [];
  const [version, ...lines] = block.toString('utf8').split('\r\n');
  if (version !== 'NATS/1.0' || lines.pop() !== '' || lines.pop() !== '') {
    throw new Error(`not a header block: ${JSON.stringify(block.toString('latin1'))}`);
  }
  return lines.map((line) => {
    const colon = line.indexOf(': ');
    if (colon < 1) throw new Error(`not a header: ${JSON.stringify(line)}`);
    return [line.slice(0, colon), line.slice(colon + 2)];
  });
}

/** RFC 3339 with up to nine digits of a second, more than a Date can hold. */
function nanosOf(time: string): bigint {
  const [, seconds = '', fraction = ''] = /^(.*?)(?:\.(\d+))?Z$/.exec(time) ?? [];
  return BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
