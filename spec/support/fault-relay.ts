import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Stands between a client and its server, and cuts the line at the moment the test asks for. */
export class Relay {
  /** Called with what the client sends; `true` cuts its connection before the server sees it. */
  cutsAt: (sent: string) => boolean = () => false;
  cuts = 0;
  /** Takes no connection while it is false. */
  open = true;
  /** Milliseconds by which the server's first words to a new connection are late. */
  delay = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(port: number) {
    this.#server = createServer((client) => {
      if (!this.open) return void client.destroy();
      const upstream = connect({ port, host: '127.0.0.1' });
      const end = (): void => {
        for (const socket of [client, upstream]) {
          socket.destroy();
          this.#sockets.delete(socket);
        }
      };
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', end).on('close', end);
      }
      upstream.pause();
      setTimeout(() => upstream.on('data', (data) => client.write(data)).resume(), this.delay);
      client.on('data', (data) => {
        if (!this.cutsAt(data.toString('latin1'))) return upstream.write(data);
        this.cuts++;
        return end();
      });
    });
  }

  /** @param port of the server */
  static async to(port: number): Promise<Relay> {
    const relay = new Relay(port);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  get url(): string {
    return `nats://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
