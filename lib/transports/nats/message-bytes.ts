import type { Msg } from 'nats';

/** A message as it came: its header block, if it has one, and its data in one piece. */
export interface MessageBytes {
  readonly bytes: Buffer;
  /** Of these, so many are the header block. */
  readonly headerLength: number;
}

// What the client's class has and its interface does not.
type ClientMsg = Msg & {
  size(): number;
  readonly _rdata?: unknown;
  readonly _msg?: { readonly hdr?: unknown };
};

/**
 * The client shows a message's data as another view each time, and its header block only parsed, which costs more than all
 * else that is done for an event. It has both in one piece; where a version of it does not, the block is found by its place
 * before the data.
 */
export function messageBytes(msg: Msg): MessageBytes {
  const { _rdata: raw, _msg: args } = msg as ClientMsg;
  const header = args?.hdr;
  if (Buffer.isBuffer(raw) && typeof header === 'number') {
    return { bytes: raw, headerLength: Math.max(0, header) };
  }
  const { data } = msg;
  const headerLength = Math.max(
    0,
    (msg as ClientMsg).size() -
      data.length -
      Buffer.byteLength(msg.subject) -
      Buffer.byteLength(msg.reply ?? ''),
  );
  const bytes = Buffer.from(data.buffer, data.byteOffset - headerLength, headerLength + data.length);
  return { bytes, headerLength };
}

/** The header block of a message; `undefined` if it has none. */
export function headerBlockOf(msg: Msg): Buffer | undefined {
  const { bytes, headerLength } = messageBytes(msg);
  return headerLength > 0 ? bytes.subarray(0, headerLength) : undefined;
}
