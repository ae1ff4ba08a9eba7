import { EventEmitter } from 'node:events';
import fc from 'fast-check';
import { NodeTransport } from 'nats/lib/src/node_transport';
import { ShortCut } from '../../../lib/transports/nats/short-cut';

type Transport = AsyncIterable<Uint8Array> & {
  socket: EventEmitter;
  setupHandlers(): void;
  options: object;
  connected: boolean;
};

/** The client's own transport, on a socket that the test speaks for, and the loop in which the client reads it. */
class Client {
  readonly socket = new EventEmitter();
  readonly transport = new NodeTransport() as unknown as Transport;
  readonly ended: Promise<unknown>;
  readonly parsed: string[] = [];
  byLoop = 0;
  /** What parsing fails at. */
  poison: string | undefined;
  #shortCut: ShortCut | undefined;
  /** What parsing leads to. */
  onParsed: ((text: string) => void) | undefined;

  constructor() {
    this.transport.socket = this.socket;
    this.transport.options = {};
    this.transport.connected = true;
    this.transport.setupHandlers();
    this.ended = this.#loop().catch((error: unknown) => error);
  }

  install(): void {
    this.#shortCut = ShortCut.install(this.transport, (piece) => this.#parse(piece));
    expect(this.#shortCut).toBeDefined();
  }

  give(piece: string): void {
    this.socket.emit('data', Buffer.from(piece));
  }

  async #loop(): Promise<void> {
    for await (const piece of this.transport) {
      this.byLoop++;
      if (this.#shortCut === undefined) this.#parse(piece);
      else this.#shortCut.fromLoop(piece as Buffer);
    }
  }

  #parse(piece: Uint8Array): void {
    const text = Buffer.from(piece).toString();
    if (text === this.poison) throw new Error(`cannot parse ${text}`);
    this.onParsed?.(text);
    this.parsed.push(text);
  }
}

/** Until all that is under way in promises has arrived. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const someMicrotasks = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await Promise.resolve();
};

describe('the short cut', () => {
  it('keeps the order of the socket, whatever is on the client’s way when it begins', async () => {
    const steps = fc.array(fc.nat(12), { minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(steps, fc.nat(20), fc.nat(12), async (pauses, installedAt, before) => {
        const client = new Client();
        await someMicrotasks(before);
        const given: string[] = [];
        for (const [index, pause] of pauses.entries()) {
          if (index === installedAt) client.install();
          given.push(String(index));
          client.give(String(index));
          await someMicrotasks(pause);
        }
        await settled();
        expect(client.parsed).toEqual(given);
      }),
      { numRuns: 500, seed: 20_261_129 },
    );
  });

  it('is taken at once when nothing is before it', async () => {
    const client = new Client();
    client.give('a');
    client.install();
    client.give('b');
    expect(client.parsed).toEqual([]);
    await settled();
    client.give('c');
    expect(client.parsed).toEqual(['a', 'b', 'c']);
    await settled();
    expect(client.byLoop).toBe(3); // 'a', the mark, and what came before that had arrived
  });

  it.each(['the socket', 'the loop'])(
    'parses what comes while a piece of %s is parsed after that piece',
    async (by) => {
      const client = new Client();
      client.install();
      if (by === 'the socket') await settled();
      // As a TLS socket does when something is written to it.
      client.onParsed = (text) => {
        if (text === 'a') client.give('b');
      };
      client.give('a');
      if (by === 'the socket') client.give('c');
      await settled();
      if (by === 'the loop') client.give('c');
      client.give('d');
      expect(client.parsed).toEqual(['a', 'b', 'c', 'd']);
    },
  );

  it('ends the client’s loop with what parsing failed with, and parses nothing after it', async () => {
    const client = new Client();
    client.install();
    await settled();
    client.poison = 'x';
    client.give('a');
    client.give('x');
    client.give('b');
    await expect(client.ended).resolves.toEqual(new Error('cannot parse x'));
    client.give('c');
    await settled();
    expect(client.parsed).toEqual(['a']);
  });

  it('is not taken where the client’s transport works in another way', () => {
    const parse = jest.fn();
    const socket = new EventEmitter();
    const connected = true;
    for (const transport of [undefined, null, {}, { socket: {}, connected }, { socket, connected }]) {
      expect(ShortCut.install(transport, parse)).toBeUndefined();
    }
    socket.on('data', parse);
    socket.on('data', jest.fn());
    expect(ShortCut.install({ socket, connected }, parse)).toBeUndefined();
    socket.removeAllListeners();
    // It is shaking hands, with a listener of its own.
    socket.on('data', parse);
    expect(ShortCut.install({ socket, connected: false }, parse)).toBeUndefined();
    expect(socket.listeners('data')).toEqual([parse]);
  });
});
