import { isAscii } from 'node:buffer';
import type { Msg } from 'nats';
import { parseAckSubject, type AckInfo } from './ack-subject';

// What the client's class has and its interface does not.
type ClientMsg = Msg & {
  size(): number;
  readonly _rdata?: unknown;
  readonly _msg?: { readonly hdr?: unknown };
};

/** Bytes of a message up to which it is read as one text by itself. */
const MAX_TEXT_OF_MESSAGE = 8192;

/** The server tells the size of a body that it leaves out. */
const CUT = /^Nats-Msg-Size: *[1-9]/im;

/** A message as it came: its header block, if it has one, and its data, in one piece of what came with it. */
export class ReceivedMessage {
  #text: string | null | undefined;

  /**
   * @param text all of it as text, if it is ASCII and that is known already
   * @param replyAt where the reply subject begins in the piece, if it stands there with a byte for each character
   */
  constructor(
    readonly subject: string,
    /** Empty if there is none. */
    readonly reply: string,
    /** What was read from the socket at once. */
    readonly piece: Buffer,
    /** Where it begins in there. */
    readonly start: number,
    /** Where it ends. */
    readonly end: number,
    /** Of its bytes, so many are the header block. */
    readonly headerLength: number,
    text?: string,
    private readonly replyAt?: number,
  ) {
    this.#text = text;
  }

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
      return new ReceivedMessage(subject, reply, raw, 0, raw.length, Math.max(0, header));
    }
    const { data } = msg;
    const before = data.length + Buffer.byteLength(subject) + Buffer.byteLength(reply);
    const headerLength = Math.max(0, (msg as ClientMsg).size() - before);
    const bytes = Buffer.from(data.buffer, data.byteOffset - headerLength, headerLength + data.length);
    return new ReceivedMessage(subject, reply, bytes, 0, bytes.length, headerLength);
  }

  /** What the reply subject tells, if it is that of a JetStream delivery. */
  get ackInfo(): AckInfo | undefined {
    const { reply, replyAt } = this;
    return replyAt === undefined ? parseAckSubject(reply) : parseAckSubject(reply, this.piece, replyAt);
  }

  /** Bytes of all of it. */
  get length(): number {
    return this.end - this.start;
  }

  /** A view of all of it. */
  get bytes(): Buffer {
    return this.piece.subarray(this.start, this.end);
  }

  /**
   * All of it as text, if it is ASCII and was given as text or is short. What is cut out of it keeps all that was read with it
   * in memory.
   */
  get text(): string | undefined {
    if (this.#text === undefined) {
      const readable = this.length <= MAX_TEXT_OF_MESSAGE && isAscii(this.bytes);
      this.#text = readable ? this.piece.toString('latin1', this.start, this.end) : null;
    }
    return this.#text ?? undefined;
  }

  /** Its data as text, where all of it is one. */
  get dataText(): string | undefined {
    return this.text?.slice(this.headerLength);
  }

  get data(): Buffer {
    return this.piece.subarray(this.start + this.headerLength, this.end);
  }

  /** Whether the server left its body out, as it does for a consumer with `headers_only`. */
  get isCut(): boolean {
    return (
      this.headerLength > 0 && this.headerLength === this.length && CUT.test(this.bytes.toString('latin1'))
    );
  }

  /** Its header block; `undefined` if it has none. */
  get headerBlock(): Buffer | undefined {
    return this.headerLength === 0
      ? undefined
      : this.piece.subarray(this.start, this.start + this.headerLength);
  }
}
