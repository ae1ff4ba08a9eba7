import { processorTime } from './processor-time.mjs';
import { Side } from './side.mjs';

let opened = 0;

/** A contender at work: its publisher and its subscriber, as long as the suite lasts. */
export class Pair {
  /**
   * @param {{ key: string, module: string, options?: object }} contender
   * @param {{ url: string, pids: number[] }} server
   */
  static async open(contender, server) {
    const options = contender.options ?? {};
    const connection = { url: server.url, name: `b${opened++}-${contender.key}`, options };
    const pair = new Pair(contender, server, connection);
    try {
      await pair.subscriber.ready();
      pair.publisher = new Side('publisher', contender.module, connection);
      await pair.publisher.ready();
    } catch (error) {
      await pair.close();
      throw error;
    }
    return pair;
  }

  constructor(contender, server, connection) {
    this.key = contender.key;
    this.server = server;
    this.handlers = connection.options.handlers ?? 1;
    this.subscriber = new Side('subscriber', contender.module, connection);
  }

  /** From the first emit to the last event handled. Processor times are microseconds per event. */
  async trial(count) {
    await this.subscriber.ask('expect', { count });
    const before = processorTime(this.server.pids);
    const complete = this.subscriber.ask('complete');
    const [sent, received] = await Promise.all([this.publisher.ask('trial', { count }), complete]);
    const after = processorTime(this.server.pids);
    this.#check(received);
    // What is confirmed after the last event was handled is still part of emitting.
    const seconds = (Math.max(received.lastAt, sent.confirmedAt) - sent.startedAt) / 1e6;
    return {
      seconds,
      rate: (count * this.handlers) / seconds,
      publisher: sent.cpu / count,
      subscriber: received.cpu / count / this.handlers,
      server: before === undefined ? undefined : (after - before) / count,
    };
  }

  /** Stores events while nobody consumes, then consumes them. */
  async drain(count) {
    await this.publisher.ask('trial', { count });
    const before = processorTime(this.server.pids);
    const received = await this.subscriber.ask('drain', { count });
    const after = processorTime(this.server.pids);
    this.#check(received);
    const seconds = (received.lastAt - received.firstAt) / 1e6;
    return {
      seconds,
      rate: count / seconds,
      subscriber: received.cpu / count,
      server: before === undefined ? undefined : (after - before) / count,
    };
  }

  /** @param {number} interval milliseconds between two events */
  async paced(count, interval) {
    await this.subscriber.ask('expect', { count });
    const complete = this.subscriber.ask('complete');
    const [received] = await Promise.all([complete, this.publisher.ask('paced', { count, interval })]);
    this.#check(received);
    return { latencies: received.latencies };
  }

  /** Bytes of live heap of both sides. */
  heap() {
    return this.#both('heap');
  }

  /** CPU profiles of both sides, of what `use` makes them do. */
  async profile(use) {
    await this.#both('profile');
    await use();
    return this.#both('profiled');
  }

  async close() {
    await this.publisher?.close();
    await this.subscriber.close();
  }

  async #both(command) {
    const [publisher, subscriber] = await Promise.all([
      this.publisher.ask(command),
      this.subscriber.ask(command),
    ]);
    return { publisher, subscriber };
  }

  #check({ problem }) {
    if (problem !== undefined) throw new Error(`A trial of ${this.key} is void: ${problem}.`);
  }
}
