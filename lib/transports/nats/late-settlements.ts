import type { JetStreamManager } from 'nats';
import { until } from './api';
import type { NatsLink } from './connection';
import { pause } from './pause';

/** Milliseconds: a server that has just come back may need a moment until it knows its streams. */
const ANSWER_TIMEOUT = 5000;

export interface LateSettlement {
  readonly reply: string;
  readonly payload: string;
  /** When the stream was created that it belongs to. */
  readonly streamCreated: string;
  /** Whether a stop waits for the connection to send it; what is only handed back, the server hands on by itself. */
  readonly pressing: boolean;
}

/** What is settled while there is no connection: the client drops what is published then. */
export class LateSettlements {
  #waiting: LateSettlement[] = [];
  #sending = false;
  #onSent: (() => void) | undefined;

  constructor(
    private readonly link: NatsLink,
    private readonly jsm: JetStreamManager,
    private readonly stream: string,
  ) {}

  add(settlement: LateSettlement): void {
    this.#waiting.push(settlement);
  }

  /**
   * Sends what waits; called at each reconnect. In a stream that was made anew meanwhile, it would settle other events;
   * unsettled, these only come again.
   */
  async send(): Promise<void> {
    if (this.#waiting.length === 0 || this.#sending) return;
    this.#sending = true;
    const info = await until(ANSWER_TIMEOUT, `stream '${this.stream}'`, () =>
      this.jsm.streams.info(this.stream),
    ).catch(() => undefined);
    this.#sending = false;
    // Disconnected again in the middle of it: they go on waiting.
    if (!this.link.connected) return;
    for (const { reply, payload, streamCreated } of this.#waiting.splice(0)) {
      if (streamCreated === info?.created) this.link.frames.answer(reply, payload);
    }
    this.#onSent?.();
  }

  /**
   * Resolves when nothing pressing waits any more, at the latest after `timeout` milliseconds.
   * @returns how many were given up
   */
  async sent(timeout: number): Promise<number> {
    if (this.#pressing > 0) {
      await Promise.race([new Promise<void>((resolve) => (this.#onSent = resolve)), pause(timeout)]);
    }
    const lost = this.#pressing;
    this.#waiting = [];
    return lost;
  }

  get #pressing(): number {
    return this.#waiting.filter(({ pressing }) => pressing).length;
  }
}
