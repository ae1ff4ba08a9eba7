import { isAscii } from 'node:buffer';
import type { NatsConnection } from 'nats';
import { numberIn } from './digits';
import { ReceivedMessage } from './received-message';
import { ShortCut } from './short-cut';

/** Bytes of a command line, at most; the server's own limit is 4096. */
const MAX_LINE = 64 * 1024;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const H = 72;
const M = 77;
const S = 83;
const G = 71;
const SPACE = 32;
/** The client's parser is between two commands. */
const AT_START = 0;
const END_OF_LINE = '\n';
/** Bytes that are made into one text: what a socket gives at once, and the beginning of a command before it. */
const MAX_TEXT_OF_PIECE = 128 * 1024;

interface Parser {
  readonly state?: unknown;
  parse(bytes: Uint8Array): void;
}

// What the client's class has and its interface does not.
interface Protocol {
  parser: Parser;
  readonly transport?: unknown;
  inMsgs: number;
  inBytes: number;
  readonly subscriptions: { get(sid: number): { received: number } | undefined };
}

/**
 * Reads what a server sends, in the place of the client's parser, which goes through each command byte by byte and cuts it
 * into seven pieces: of a JetStream message, with its long reply subject, that was an eighth of all that is done for it.
 * Messages of our own subscriptions are taken here, whole lines at a time; everything else, and whatever does not look as
 * it should, is left to the client's parser. The client makes a new parser for each connection, and its way of using one is
 * not in its interface: `install` is called after each, and where a version has no such parser, nothing is changed.
 */
export class Reader {
  readonly #protocol: Protocol | undefined;
  readonly #own = new Map<number, (message: ReceivedMessage) => void>();

  readonly #nc: NatsConnection;
  #received = 0;

  constructor(nc: NatsConnection) {
    this.#nc = nc;
    const { protocol } = nc as NatsConnection & { protocol?: Partial<Protocol> };
    const fits =
      typeof protocol?.parser?.parse === 'function' &&
      typeof protocol.parser.state === 'number' &&
      typeof protocol.subscriptions?.get === 'function' &&
      typeof protocol.inMsgs === 'number';
    this.#protocol = fits ? (protocol as Protocol) : undefined;
  }

  /** Bytes that have been read from the server; where the client reads, only those of messages. */
  get received(): number {
    return this.#protocol === undefined ? this.#nc.stats().inBytes : this.#received;
  }

  /** Whether the last bytes from the server end within a command; `true` where that is not known. */
  get isWithinCommand(): boolean {
    const parser = this.#protocol?.parser;
    return parser instanceof ConnectionReader ? parser.isWithinCommand : true;
  }

  /** Reads from here on. Called when the client has connected, and when it has reconnected. */
  install(): void {
    const protocol = this.#protocol;
    if (protocol === undefined) return;
    const { parser } = protocol;
    if (parser instanceof ConnectionReader) return parser.shorten(protocol.transport);
    if (typeof parser.state !== 'number') return;
    const reader = new ConnectionReader(
      parser,
      (sid, message) => this.#take(sid, message),
      (bytes) => (this.#received += bytes),
    );
    protocol.parser = reader;
    reader.shorten(protocol.transport);
  }

  /** @param onMessage called with the messages of this subscription of the client. Must not throw */
  listen(sid: number, onMessage: (message: ReceivedMessage) => void): void {
    if (this.#protocol !== undefined) this.#own.set(sid, onMessage);
  }

  forget(sid: number): void {
    this.#own.delete(sid);
  }

  /** @returns whether it is for one of our subscriptions */
  #take(sid: number, message: ReceivedMessage): boolean {
    const onMessage = this.#own.get(sid);
    const protocol = this.#protocol;
    if (onMessage === undefined || protocol === undefined) return false;
    protocol.inMsgs++;
    protocol.inBytes += message.length;
    const subscription = protocol.subscriptions.get(sid);
    // Ended meanwhile.
    if (subscription === undefined) return true;
    subscription.received++;
    onMessage(message);
    return true;
  }
}

type Take = (sid: number, message: ReceivedMessage) => boolean;

/** Of one connection: the beginning of a command that has not come whole belongs to it. */
class ConnectionReader implements Parser {
  /** The command that has not come whole yet, and how many bytes it needs at least. */
  #pieces: Buffer[] = [];
  #length = 0;
  #needed = 0;
  #shortCut: ShortCut | undefined;

  constructor(
    private readonly client: Parser,
    private readonly take: Take,
    private readonly onRead: (bytes: number) => void,
  ) {}

  /** Reads from the transport's socket, as soon as it is connected. */
  shorten(transport: unknown): void {
    this.#shortCut ??= ShortCut.install(transport, (chunk) => this.#parse(chunk));
  }

  get state(): unknown {
    return this.client.state;
  }

  get isWithinCommand(): boolean {
    return this.#length > 0 || this.client.state !== AT_START;
  }

  /** Called by the client's loop. */
  parse(chunk: Uint8Array): void {
    const bytes = asBuffer(chunk);
    if (this.#shortCut === undefined) this.#parse(bytes);
    else this.#shortCut.fromLoop(bytes);
  }

  #parse(chunk: Buffer): void {
    // It has begun with something before this was installed.
    if (this.client.state !== AT_START) {
      this.client.parse(chunk);
      return this.onRead(chunk.length);
    }
    this.onRead(chunk.length);
    let bytes = chunk;
    if (this.#length > 0) {
      this.#pieces.push(bytes);
      this.#length += bytes.length;
      if (this.#length < this.#needed) return;
      bytes = Buffer.concat(this.#pieces, this.#length);
      this.#pieces = [];
      this.#length = 0;
    }
    const end = this.#read(bytes);
    if (end === bytes.length) return;
    const rest = bytes.subarray(end);
    this.#pieces.push(rest);
    this.#length = rest.length;
  }

  /** @returns where the first command begins that is not whole; `#needed` is its length then, as far as that is known */
  #read(bytes: Buffer): number {
    // Made once for all that came together: what is cut out of it for a message costs next to nothing.
    const text = bytes.length <= MAX_TEXT_OF_PIECE && isAscii(bytes) ? bytes.toString('latin1') : undefined;
    let at = 0;
    while (at < bytes.length) {
      const lineEnd = text === undefined ? bytes.indexOf(LINE_FEED, at) : text.indexOf(END_OF_LINE, at);
      if (lineEnd === -1) {
        if (bytes.length - at > MAX_LINE) return this.#leave(bytes, at, bytes.length);
        this.#needed = bytes.length - at + 1;
        return at;
      }
      const first = bytes[at];
      if ((first !== H && first !== M) || bytes[lineEnd - 1] !== CARRIAGE_RETURN) {
        at = this.#leave(bytes, at, lineEnd + 1);
        continue;
      }
      const end = this.#message(bytes, text, at, lineEnd);
      if (end === undefined) return this.#leave(bytes, at, bytes.length);
      if (end > bytes.length) {
        this.#needed = end - at;
        return at;
      }
      at = end;
    }
    return at;
  }

  /**
   * Takes a message whose line is `MSG <subject> <sid> [reply] <size>` or `HMSG <subject> <sid> [reply] <header size> <size>`, or
   * leaves it to the client.
   * @returns where it ends: beyond the bytes, if it has not come whole; `undefined` if it is not written as servers write it
   */
  #message(bytes: Buffer, text: string | undefined, at: number, lineEnd: number): number | undefined {
    const hasHeader = bytes[at] === H;
    const subjectAt = at + (hasHeader ? 5 : 4);
    const stop = lineEnd - 1;
    const subjectEnd = endOfWord(bytes, subjectAt, stop);
    const sidEnd = endOfWord(bytes, subjectEnd + 1, stop);
    const thirdEnd = endOfWord(bytes, sidEnd + 1, stop);
    const fourthEnd = hasHeader ? endOfWord(bytes, thirdEnd + 1, stop) : thirdEnd;
    // The words that follow: a reply subject or not, with `HMSG` the bytes of the header, the bytes of all.
    const hasReply = fourthEnd < stop;
    const replyEnd = hasReply ? thirdEnd : sidEnd;
    const headerEnd = hasReply ? fourthEnd : thirdEnd;
    const sid = numberIn(bytes, subjectEnd + 1, sidEnd);
    const headerLength = hasHeader ? numberIn(bytes, replyEnd + 1, headerEnd) : 0;
    const size = numberIn(bytes, (hasHeader ? headerEnd : replyEnd) + 1, stop);
    if (sid === undefined || headerLength === undefined || size === undefined || headerLength > size)
      return undefined;
    if (!isMessage(bytes, hasHeader ? at + 1 : at)) return undefined;
    const start = lineEnd + 1;
    const end = start + size;
    const next = end + 2;
    if (next > bytes.length) return next;
    const subject = cut(bytes, text, subjectAt, subjectEnd);
    const reply = hasReply ? cut(bytes, text, sidEnd + 1, replyEnd) : '';
    const whole = text?.slice(start, end);
    const replyAt = reply.length === replyEnd - sidEnd - 1 ? sidEnd + 1 : undefined;
    const message = new ReceivedMessage(subject, reply, bytes, start, end, headerLength, whole, replyAt);
    if (!this.take(sid, message)) this.#leave(bytes, at, next);
    return next;
  }

  /** What the client's parser does with it; it must find whole commands, or say what is wrong. */
  #leave(bytes: Buffer, from: number, to: number): number {
    this.client.parse(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
    return to;
  }
}

/** Whether `MSG ` stands there. */
const isMessage = (bytes: Buffer, at: number): boolean =>
  bytes[at] === M && bytes[at + 1] === S && bytes[at + 2] === G && bytes[at + 3] === SPACE;

const cut = (bytes: Buffer, text: string | undefined, from: number, to: number): string =>
  text === undefined ? bytes.toString('utf8', from, to) : text.slice(from, to);

/** Where the word ends that begins there: at a space, or where all ends. */
function endOfWord(bytes: Buffer, from: number, stop: number): number {
  let at = from;
  while (at < stop && bytes[at] !== SPACE) at++;
  return at;
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
