import type { Socket } from 'node:net';

type Listener = (piece: Buffer) => void;

/** As the client's transport over sockets has it; its interface tells nothing of it. */
interface SocketTransport {
  readonly connected: boolean;
  readonly socket: Pick<Socket, 'listeners' | 'on' | 'removeListener'>;
}

/**
 * What a socket gives is parsed as it comes. The client passes each piece through a generator to a loop, by more than ten promises,
 * which took 50 µs where there was nothing else to do. What is on that way already when this begins is parsed first: an
 * empty piece is sent after it, and when the loop brings that, nothing is before us any more.
 */
export class ShortCut {
  readonly #mark = Buffer.alloc(0);
  readonly #clientsWay: Listener;
  readonly #parse: Listener;
  /** Pieces on the client's way that are not parsed, from the mark on. */
  #onTheirWay = 0;
  #marked = false;
  #parsing = false;
  #failed: { readonly error: unknown } | undefined;

  /**
   * Listens to the socket in the place of the client's transport.
   * @returns `undefined` where that is another one, works in another way or is not connected
   */
  static install(transport: unknown, parse: Listener): ShortCut | undefined {
    const { socket, connected } = (transport ?? {}) as Partial<SocketTransport>;
    if (connected !== true || typeof socket?.listeners !== 'function') return undefined;
    const [clientsWay, ...others] = socket.listeners('data') as Listener[];
    if (clientsWay === undefined || others.length > 0) return undefined;
    return new ShortCut(socket, clientsWay, parse);
  }

  private constructor(socket: SocketTransport['socket'], clientsWay: Listener, parse: Listener) {
    this.#clientsWay = clientsWay;
    this.#parse = parse;
    socket.on('data', (piece) => this.#fromSocket(piece));
    socket.removeListener('data', clientsWay);
    this.#pass(this.#mark);
  }

  /**
   * Takes what the client's loop brings.
   * @throws what parsing failed with, so that the client ends its loop as it does then
   */
  fromLoop(piece: Buffer): void {
    if (this.#failed !== undefined) throw this.#failed.error;
    if (piece === this.#mark) this.#marked = true;
    else this.#parseAlone(piece);
    if (this.#marked) this.#onTheirWay--;
  }

  #fromSocket(piece: Buffer): void {
    // A write that parsing leads to may make a TLS socket give its next piece at once.
    if (this.#onTheirWay > 0 || this.#parsing || this.#failed !== undefined) return this.#pass(piece);
    try {
      this.#parseAlone(piece);
    } catch (error) {
      this.#failed = { error };
      this.#pass(piece);
    }
  }

  #parseAlone(piece: Buffer): void {
    this.#parsing = true;
    try {
      this.#parse(piece);
    } finally {
      this.#parsing = false;
    }
  }

  #pass(piece: Buffer): void {
    this.#onTheirWay++;
    this.#clientsWay(piece);
  }
}
