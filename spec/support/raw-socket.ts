import { connect, type Socket } from 'node:net';

/** A NATS client by hand, for bytes that no client library would send. */
export class RawSocket {
  /** What the server complained about (`-ERR …`). */
  readonly errors: string[] = [];
  readonly #socket: Socket;
  readonly #pongs: (() => void)[] = [];
  #received = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => this.#read(chunk));
    socket.on('error', (error) => this.errors.push(String(error)));
    socket.on('close', () => {
      for (const pong of this.#pongs.splice(0)) pong();
    });
  }

  /** Resolves when the server has taken it on as a client. */
  static async open(port: number): Promise<RawSocket> {
    const raw = new RawSocket(connect({ port, host: '127.0.0.1' }));
    raw.#socket.write('CONNECT {"verbose":false,"pedantic":false,"headers":true,"protocol":1}\r\n');
    await raw.flush();
    return raw;
  }

  /** @param headerBlock sent as it is, well formed or not; without it the message has no headers */
  publish(subject: string, body: string | Uint8Array, headerBlock?: string | Uint8Array): void {
    const payload = Buffer.from(body);
    if (headerBlock === undefined) {
      this.#write(`PUB ${subject} ${payload.length}\r\n`, payload);
    } else {
      const block = Buffer.from(headerBlock);
      this.#write(
        `HPUB ${subject} ${block.length} ${block.length + payload.length}\r\n`,
        Buffer.concat([block, payload]),
      );
    }
  }

  /** Resolves when the server has taken everything sent before. @throws Error with what it complained about */
  async flush(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#pongs.push(resolve);
      this.#socket.write('PING\r\n');
    });
    if (this.errors.length > 0) throw new Error(`the server says: ${this.errors.join('; ')}`);
  }

  close(): void {
    this.#socket.destroy();
  }

  #write(line: string, payload: Uint8Array): void {
    this.#socket.write(Buffer.concat([Buffer.from(line), payload, Buffer.from('\r\n')]));
  }

  #read(chunk: string): void {
    const lines = (this.#received + chunk).split('\r\n');
    this.#received = lines.pop() ?? '';
    for (const line of lines) {
      if (line === 'PING') this.#socket.write('PONG\r\n');
      else if (line === 'PONG') this.#pongs.shift()?.();
      else if (line.startsWith('-ERR')) this.errors.push(line);
    }
  }
}

/** A well-formed block of these headers, in this order and spelling. */
export const headerBlock = (headers: Readonly<Record<string, string>>): string =>
  `NATS/1.0\r\n${Object.entries(headers)
    .map(([key, value]) => `${key}: ${value}\r\n`)
    .join('')}\r\n`;
