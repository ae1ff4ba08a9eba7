import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { sleep } from './fault-ledger';

/** From the client to the server, or back. */
export type Way = 'up' | 'down';

const WAYS: readonly Way[] = ['up', 'down'];
/** Pieces a second that a limited rate is made of. */
const STEPS = 50;

interface Line {
  readonly client: Socket;
  readonly upstream: Socket;
  /** Ways on which nothing passes any more: not read (`stalled`), or read and dropped (`lost`). */
  readonly stalled: Set<Way>;
  readonly lost: Set<Way>;
  /** On their way, oldest first. */
  readonly pieces: Readonly<Record<Way, Buffer[]>>;
  readonly end: () => void;
}

/** The link between a client and its server, with the faults that the test asks for. */
export class Relay {
  /** Called with what the client sends; `true` cuts its connection before the server sees it. */
  cutsAt: (sent: string) => boolean = () => false;
  /** What the client sees of what the server sends, where that is other. */
  rewrites: ((received: string) => string) | undefined;
  /** The server sees the first half of what cuts the connection, and a reset. */
  cutsMidway = false;
  cuts = 0;
  /** Connections that have been taken. */
  accepted = 0;
  /** Takes no connection while it is false. */
  open = true;
  /** Milliseconds by which the server's first words to a new connection are late. */
  delay = 0;
  /** Milliseconds that everything is on its way, either way. */
  latency = 0;
  /** Bytes a second, either way. */
  rate = Infinity;
  /** Bytes that are passed on at once. */
  piece = Infinity;
  readonly #lines = new Set<Line>();
  readonly #server: Server;

  private constructor(port: number) {
    this.#server = createServer((client) => {
      if (!this.open) return void client.destroy();
      this.accepted++;
      const upstream = connect({ port, host: '127.0.0.1' });
      const line: Line = {
        client,
        upstream,
        stalled: new Set(),
        lost: new Set(),
        pieces: { up: [], down: [] },
        end: () => {
          client.destroy();
          upstream.destroy();
          this.#lines.delete(line);
        },
      };
      this.#lines.add(line);
      for (const socket of [client, upstream])
        socket.setNoDelay(true).on('error', line.end).on('close', line.end);
      void this.#carry(line, 'up', client, upstream);
      void this.#carry(line, 'down', upstream, client);
    });
  }

  /** @param port of the server */
  static async to(port: number): Promise<Relay> {
    const relay = new Relay(port);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** The connections of this moment. */
  get connections(): number {
    return this.#lines.size;
  }

  /** Each connection is slow from now on, or as fast as it can be. */
  slow(link: { readonly latency: number; readonly rate: number } | undefined): void {
    Object.assign(this, link ?? { latency: 0, rate: Infinity });
  }

  cut(): void {
    for (const line of this.#lines) line.end();
  }

  /** The connections of this moment stay open, and nothing passes: a dropped NAT entry, a failed host. New ones work. */
  stall(...ways: Way[]): void {
    for (const { stalled } of this.#lines) for (const way of ways.length > 0 ? ways : WAYS) stalled.add(way);
  }

  /** What is sent this way over the connections of this moment is taken and never arrives. */
  lose(...ways: Way[]): void {
    for (const { lost } of this.#lines) for (const way of ways) lost.add(way);
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #carry(line: Line, way: Way, from: Socket, to: Socket): Promise<void> {
    try {
      if (way === 'down' && this.delay > 0)
        await Promise.race([
          new Promise((resolve) => setTimeout(resolve, this.delay).unref()),
          once(to, 'close'),
        ]);
      for await (const chunk of from as AsyncIterable<Buffer>) {
        if (line.stalled.has(way)) await once(from, 'close');
        if (line.lost.has(way)) continue;
        if (way === 'up' && this.cutsAt(chunk.toString('latin1'))) return this.#cutAt(line, chunk);
        const rewrites = way === 'down' ? this.rewrites : undefined;
        const bytes =
          rewrites === undefined ? chunk : Buffer.from(rewrites(chunk.toString('latin1')), 'latin1');
        await this.#pass(line, way, bytes, to);
      }
    } catch {
      // The line has ended.
    }
    line.end();
  }

  async #pass(line: Line, way: Way, chunk: Buffer, to: Socket): Promise<void> {
    let at = 0;
    while (at < chunk.length) {
      const { rate } = this;
      const size = Math.max(1, Math.min(this.piece, Math.floor(rate / STEPS), chunk.length - at));
      const piece = chunk.subarray(at, at + size);
      at += size;
      if (rate !== Infinity) await sleep((1000 * size) / rate);
      if (line.stalled.has(way)) return;
      const pieces = line.pieces[way];
      if (this.latency > 0 || pieces.length > 0) {
        // What is sent after the latency has changed must not overtake.
        pieces.push(piece);
        setTimeout(() => to.write(pieces.shift() as Buffer), this.latency);
      } else if (!to.write(piece)) await once(to, 'drain');
    }
  }

  #cutAt(line: Line, chunk: Buffer): void {
    this.cuts++;
    if (!this.cutsMidway) return line.end();
    line.upstream.write(chunk.subarray(0, chunk.length / 2), () => {
      line.upstream.resetAndDestroy();
      line.client.resetAndDestroy();
    });
  }
}
