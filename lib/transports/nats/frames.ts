import type { Socket } from 'node:net';
import type { NatsConnection } from 'nats';
import { isOneWord } from '../../core/subject';
import { asMsgHdrs } from './header-block';
import type { WireMessage } from './wire-message';

/**
 * Bytes that are gathered before they are sent: the server works on them while the next are written. Of 16, 32, 64 and 128 KB the
 * one from which on more brought nothing.
 */
const FLUSH_AT = 64 * 1024;
const CHUNK = 2 * FLUSH_AT;
/** More than the command line of any publish takes. */
const COMMAND = 1024;

const NONE = Buffer.alloc(0);
const SPACE = 32;
const DELETE = 127;
/** What follows the subject of an acknowledgement. */
const ACK = ' 4\r\n+ACK\r\n';

// What the client's class has and its interface does not.
interface Protocol {
  sendCommand(command: Uint8Array): void;
  flushPending(): void;
  outMsgs: number;
  outBytes: number;
  /** What has been handed over and not been given to the socket. */
  readonly outbound?: { size(): number };
  readonly transport?: { readonly socket?: Pick<Socket, 'writableLength'> };
}

/**
 * Messages on their way out, as the bytes that the protocol wants, in one piece for many. The client encodes the command
 * of each by itself, keeps four pieces for each, and copies them together at the end: a fifth of what an emit cost. Its
 * way of sending commands is not in its interface; where a version of it has none, it publishes them one by one.
 */
export class Frames {
  readonly #nc: NatsConnection;
  readonly #protocol: Protocol | undefined;
  #chunk = NONE;
  /** By which what is in the chunk goes out. */
  #socket: Pick<Socket, 'writableLength'> | undefined;
  /** What has been handed over already ends here, what has been written there. */
  #from = 0;
  #to = 0;
  #messages = 0;
  #scheduled = false;
  /** The subject written last, known to be one word: most messages have that of the one before. */
  #lastSubject: string | undefined;

  constructor(nc: NatsConnection) {
    this.#nc = nc;
    const { protocol } = nc as NatsConnection & { protocol?: Partial<Protocol> };
    this.#protocol =
      typeof protocol?.sendCommand === 'function' && typeof protocol.flushPending === 'function'
        ? (protocol as Protocol)
        : undefined;
  }

  /**
   * Sent at the end of the current microtasks, or with `flush`.
   * @throws TypeError for a subject with white space or control characters; NatsError what the client throws of a publish
   */
  publish(message: WireMessage, reply = ''): void {
    const { subject, header, body, bodyLength } = message;
    if (subject !== this.#lastSubject) {
      assertOneWord(subject);
      this.#lastSubject = subject;
    }
    const headerLength = header.length;
    const length = headerLength + bodyLength;
    const limit = this.#nc.info?.max_payload ?? Infinity;
    if (this.#protocol === undefined || this.#nc.isClosed() || this.#nc.isDraining() || length > limit) {
      const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : body;
      const headers = typeof header === 'string' ? Buffer.from(header, 'latin1') : header;
      this.flush();
      return this.#nc.publish(subject, bytes, { reply, headers: asMsgHdrs(headers) });
    }
    this.#reserve(COMMAND + 3 * (subject.length + reply.length) + length);
    const command = `HPUB ${subject} ${reply === '' ? '' : `${reply} `}${headerLength} ${length}\r\n`;
    if (typeof header === 'string' && typeof body === 'string' && bodyLength === body.length) {
      // All of it is ASCII, as of most events: one piece of text is written faster than four.
      this.#write(`${command}${header}${body}\r\n`, 'latin1');
    } else {
      this.#write(command, 'utf8');
      this.#write(header, 'latin1');
      this.#write(body, 'utf8');
      this.#write('\r\n', 'latin1');
    }
    this.#written();
  }

  /**
   * A message without headers: a few ASCII characters. To whatever subject: whoever publishes to us can name one.
   * @throws TypeError for a subject with white space or control characters
   */
  answer(reply: string, text: string): void {
    if (this.#protocol === undefined || this.#nc.isClosed() || this.#nc.isDraining()) {
      assertOneWord(reply);
      this.flush();
      return this.#nc.publish(reply, text);
    }
    this.#reserve(COMMAND + 3 * reply.length + text.length);
    const start = this.#to;
    this.#ascii('PUB ');
    if (!this.#word(reply)) {
      // What is left of it must not be sent.
      this.#to = start;
      assertOneWord(reply);
    }
    this.#ascii(text === '+ACK' ? ACK : ` ${text.length}\r\n${text}\r\n`);
    this.#written();
  }

  /** Bytes that were handed over and that the operating system has not taken yet. */
  get unsent(): number {
    const { outbound, transport } = this.#protocol ?? {};
    return (outbound?.size() ?? 0) + (transport?.socket?.writableLength ?? 0);
  }

  /** Hands over what has been written: what the client sends from then on comes after it. */
  flush(): void {
    if (this.#to === this.#from || this.#protocol === undefined) return;
    const bytes = this.#chunk.subarray(this.#from, this.#to);
    this.#from = this.#to;
    this.#protocol.outMsgs += this.#messages;
    this.#protocol.outBytes += bytes.length;
    this.#messages = 0;
    this.#protocol.sendCommand(bytes);
  }

  /** As `flush`, and to the socket at once: for who may keep the microtasks from running for long. */
  send(): void {
    this.flush();
    this.#protocol?.flushPending();
  }

  #reserve(length: number): void {
    if (this.#from === this.#to) this.#reuse();
    if (this.#chunk.length - this.#to >= length) return;
    this.flush();
    // What has been handed over is the socket's until it has sent it.
    this.#chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK, length));
    this.#from = 0;
    this.#to = 0;
  }

  /**
   * When the socket has sent all of it, the same memory again: what has just been used is at hand, new memory costs a page
   * fault for every few events.
   */
  #reuse(): void {
    const { outbound, transport } = this.#protocol ?? {};
    const socket = transport?.socket;
    const isSent = socket?.writableLength === 0 && outbound?.size() === 0;
    if (socket === this.#socket && !isSent) return;
    // What another socket may still be sending is not touched, and what one large message took is not kept.
    if (socket !== this.#socket || this.#chunk.length > CHUNK) this.#chunk = NONE;
    this.#socket = socket;
    this.#from = 0;
    this.#to = 0;
  }

  #write(part: Uint8Array | string, encoding: 'latin1' | 'utf8'): void {
    if (typeof part === 'string') this.#to += this.#chunk.write(part, this.#to, encoding);
    else {
      this.#chunk.set(part, this.#to);
      this.#to += part.length;
    }
  }

  /** A few characters: by hand, without an object for what is joined. */
  #ascii(text: string): void {
    const chunk = this.#chunk;
    let to = this.#to;
    for (let at = 0; at < text.length; at++) chunk[to++] = text.charCodeAt(at);
    this.#to = to;
  }

  /** As `#ascii`, of a subject, which is checked on the way. @returns `false` if it is not one word */
  #word(text: string): boolean {
    const chunk = this.#chunk;
    let to = this.#to;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code <= SPACE) return false;
      if (code >= DELETE) {
        if (!isOneWord(text)) return false;
        this.#write(text, 'utf8');
        return true;
      }
      chunk[to++] = code;
    }
    this.#to = to;
    return text !== '';
  }

  #written(): void {
    this.#messages++;
    if (this.#to - this.#from >= FLUSH_AT) return this.send();
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.flush();
    });
  }
}

/** A subject of several words would be another command to the server, which then closes the connection. */
function assertOneWord(subject: string): void {
  if (isOneWord(subject)) return;
  const shown = JSON.stringify(subject.slice(0, 60));
  throw new TypeError(`${shown} is no subject: white space and control characters are not allowed in it`);
}
