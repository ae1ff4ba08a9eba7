import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/** On which Node tells of each socket that `net.connect` makes. */
const CHANNEL = 'net.client.socket';

/**
 * The sockets of one connection. The client forgets a socket on which the server does not answer in time and leaves it
 * open: it would keep the process alive, and one more would be left by each try.
 */
export class DialSockets {
  readonly #context = new AsyncLocalStorage<boolean>();
  #socket: Pick<Socket, 'destroy'> | undefined;
  #address: string | undefined;
  #abandoned = false;

  /** The address that the latest dial has reached. */
  get address(): string | undefined {
    return this.#address;
  }

  /** Follows one dial; what it leaves open when it fails is destroyed. */
  async follow<T>(dial: () => Promise<T>): Promise<T> {
    const onSocket = (message: unknown): void => {
      if (this.#context.getStore() === true) this.#opened((message as { socket: Socket }).socket);
    };
    subscribe(CHANNEL, onSocket);
    try {
      return await this.#context.run(true, dial);
    } catch (error) {
      this.#socket?.destroy();
      throw error;
    } finally {
      unsubscribe(CHANNEL, onSocket);
      // What is never asked for again must not be carried along by every promise.
      this.#context.disable();
    }
  }

  /** Destroys the socket, and those that a dial under way may still open. */
  abandon(): void {
    this.#abandoned = true;
    this.#socket?.destroy();
  }

  /** For a TLS socket that makes its own connection, of which the channel says nothing: aborts it as `abandon` does. */
  signal(): AbortSignal {
    const controller = new AbortController();
    this.#replace({ destroy: () => (controller.abort(), {} as Socket) });
    return controller.signal;
  }

  #opened(socket: Socket): void {
    this.#address = undefined;
    socket.once('connect', () => (this.#address = socket.remoteAddress));
    this.#replace(socket);
  }

  /** One dial at a time: when the next begins, the one before has failed, or its connection has ended. */
  #replace(socket: Pick<Socket, 'destroy'>): void {
    this.#socket?.destroy();
    this.#socket = socket;
    // It is connected only after this.
    if (this.#abandoned) process.nextTick(() => socket.destroy());
  }
}
