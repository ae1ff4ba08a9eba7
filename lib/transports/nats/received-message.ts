import type { Msg } from 'nats';

// What the client's class has and its interface does not.
type ClientMsg = Msg & {
  size(): number;
  readonly _rdata?: unknown;
  readonly _msg?: { readonly hdr?: unknown };
};

/** A message as it came: its header block, if it has one, and its data in one piece. */
export class ReceivedMessage {
  constructor(
    readonly subject: string,
    /** Empty if there is none. */
    readonly reply: string,
    readonly bytes: Buffer,
    /** Of these, so many are the header block. */
    readonly headerLength: number,
  ) {}

  /**
   * The client shows a message's data as another view each time, and its header block only parsed, which costs more than
   * all else that is done for an event. It has both in one piece; where a version of it does not, the block is found by its
   * place before the data.
   */
  static of(msg: Msg): ReceivedMessage {
    const { subject, reply = '' } = msg;
    const { _rdata: raw, _msg: args } = msg as ClientMsg;
    const header = args?.hdr;
    if (Buffer.isBuffer(raw) && typeof header === 'number') {
      return new ReceivedMessage(subject, reply, raw, Math.max(0, header));
    }
    const { data } = msg;
    const before = data.length + Buffer.byteLength(subject) + Buffer.byteLength(reply);
    const headerLength = Math.max(0, (msg as ClientMsg).size() - before);
    const bytes = Buffer.from(data.buffer, data.byteOffset - headerLength, headerLength + data.length);
    return new ReceivedMessage(subject, reply, bytes, headerLength);
  }

  get data(): Buffer {
    return this.headerLength === 0 ? this.bytes : this.bytes.subarray(this.headerLength);
  }

  /** Its header block; `undefined` if it has none. */
  get headerBlock(): Buffer | undefined {
    return this.headerLength === 0 ? undefined : this.bytes.subarray(0, this.headerLength);
  }
}
