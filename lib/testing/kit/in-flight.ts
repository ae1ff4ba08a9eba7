import { clearTimeout, setImmediate, setTimeout } from 'node:timers';
import type { Delivery, SubscriptionSpec } from '../../core/transport';
import type { MemoryTransport } from '../../transports/memory';
import type { ManualClock } from './manual-clock';

/** How many of a kind a message names. */
const SHOWN = 10;

/** What is going on at this moment. */
export class InFlight {
  readonly #emits = new Set<{ readonly name: string }>();
  readonly #attempts = new Map<Delivery, SubscriptionSpec>();
  readonly #transports = new Set<MemoryTransport>();
  readonly #waiting = new Set<() => void>();
  /** Attempts that have ended. */
  #ended = 0;

  constructor(private readonly clock: ManualClock) {}

  connected(transport: MemoryTransport): void {
    this.#transports.add(transport);
  }

  /** @returns whether it was the last */
  closed(transport: MemoryTransport): boolean {
    this.#transports.delete(transport);
    this.#changed();
    return this.#transports.size === 0;
  }

  async emitting<T>(event: { readonly name: string }, emit: () => Promise<T>): Promise<T> {
    this.#emits.add(event);
    try {
      return await emit();
    } finally {
      this.#emits.delete(event);
      this.#changed();
    }
  }

  async attempting<T>(delivery: Delivery, spec: SubscriptionSpec, attempt: () => Promise<T>): Promise<T> {
    this.#attempts.set(delivery, spec);
    try {
      return await attempt();
    } finally {
      this.#attempts.delete(delivery);
      this.#ended++;
      this.#changed();
    }
  }

  /** The subscription that an attempt belongs to, while it lasts. */
  specOf(delivery: Delivery): SubscriptionSpec | undefined {
    return this.#attempts.get(delivery);
  }

  /**
   * Resolves when nothing is left to do before the clock moves.
   * @param timeout milliseconds of real time
   * @throws Error that tells what is left
   */
  async settled(timeout: number): Promise<void> {
    const ended = this.#ended;
    let late = false;
    // Of node:timers, so that a test's faked globals do not stop it.
    const timer = setTimeout(() => {
      late = true;
      this.#changed();
    }, timeout);
    try {
      for (;;) {
        if (late) throw new Error(this.#describe(timeout, this.#ended - ended));
        if (this.#emits.size > 0 || this.#attempts.size > 0) await this.#change();
        // Delivered, or settled, in one of the next turns.
        else if (this.#busy.length > 0) await new Promise((resolve) => setImmediate(resolve));
        else if (!this.clock.runDue()) return;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  get #busy(): SubscriptionSpec[] {
    return [...this.#transports].flatMap(({ broker }) => broker.busy());
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  #changed(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  #describe(timeout: number, ended: number): string {
    const attempts = [...this.#attempts].map(
      ([{ name, attempt }, { handler }]) => `'${handler}' handles '${name}' (attempt ${attempt})`,
    );
    const emits = [...this.#emits].map(({ name }) => `'${name}' is being emitted`);
    const running = new Set(this.#attempts.values());
    const waiting = this.#busy
      .filter((spec) => !running.has(spec))
      .map(({ handler }) => `events wait for '${handler}'`);
    const left = [...attempts, ...emits, ...new Set(waiting)];
    const more = left.length > SHOWN ? `; and ${left.length - SHOWN} more` : '';
    return (
      `the events did not settle within ${timeout} ms: ${left.slice(0, SHOWN).join('; ')}${more}. ` +
      `${ended} attempts ended meanwhile${ended > 0 ? ' (do handlers emit what they handle, without end?)' : ''}. ` +
      'What does not end must be given up by the test; what takes longer needs a longer `timeout` (ms)'
    );
  }
}
