import { inspect, styleText } from 'node:util';
import { type EventContext } from '@venta/events';

export type ServiceName = 'User Service' | 'Vendor Service' | 'Notification Service';

/** One line of the story, e.g. `User Service emits user.created`. */
export type Effect = `${ServiceName} ${'emits' | 'handles' | 'fails' | 'gives up'} ${string}`;

type Style = Parameters<typeof styleText>[0];

const STEP_TIMEOUT_MS = 20_000;
const COLORS = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;

/**
 * Tells the story on stdout. Services work at the same time; so that each run reads alike, a step names its effects in
 * the order in which they are to be told, and an effect that comes early waits for its turn.
 */
class Narrator {
  readonly #names = new Map<string, string>(); // of events, by id
  readonly #failures = new Map<string, EventContext>(); // the last of each service and event
  #steps = 0;
  #waiting: { effect: string; text: string }[] = [];
  #expected: Effect[] = [];
  #finish = (): void => {};

  /**
   * Does something and resolves when all its effects have been told.
   * @throws when one does not come within 20 seconds, or `signal` aborts
   */
  async step(
    title: string,
    signal: AbortSignal,
    act: () => Promise<unknown>,
    effects: Effect[],
  ): Promise<void> {
    signal.throwIfAborted();
    this.title(title);
    this.#expected = [...effects];
    const told = new Promise<void>((resolve) => (this.#finish = resolve));
    const timeout = AbortSignal.timeout(STEP_TIMEOUT_MS);
    const ended = AbortSignal.any([signal, timeout]);
    const aborted = new Promise<never>((_resolve, reject) => {
      ended.addEventListener('abort', () =>
        reject(signal.aborted ? (signal.reason as Error) : new Error(this.#missing())),
      );
    });
    await Promise.race([act().then(() => told), aborted]);
    this.line('');
  }

  emitted(event: object, context: EventContext): void {
    // The source is the service's name as one token, the way it stands on the wire.
    const service = context.source.replaceAll('-', ' ');
    this.#names.set(context.id, context.name);
    const cause = context.causationId && `caused by that ${this.#names.get(context.causationId)}`;
    const data = inspect(event, { breakLength: Infinity, depth: null });
    this.#tell(`${service} emits ${context.name}`, [
      row(service, 'emits', context, cause ?? '', 'cyan'),
      `      ${style('dim', data)}`,
    ]);
  }

  handled(service: ServiceName, context: EventContext, what: string): void {
    const { name, attempt } = context;
    const again = attempt === 1 ? '' : `attempt ${attempt}`;
    this.#tell(`${service} handles ${name}${again && ` (${again})`}`, [
      row(service, 'handles', context, again ? `${again}: ${what}` : what, 'green'),
    ]);
  }

  failed(service: ServiceName, context: EventContext, why: string): void {
    const { name, attempt } = context;
    this.#failures.set(`${service} ${name}`, context);
    this.#tell(`${service} fails ${name} (attempt ${attempt})`, [
      row(service, 'fails', context, `attempt ${attempt}: ${why}`, 'red'),
    ]);
  }

  /** After the last attempt has failed. */
  gaveUp(service: ServiceName, name: string, what: string): void {
    const context = this.#failures.get(`${service} ${name}`);
    if (context === undefined) throw new Error(`${service} has not failed to handle ${name}`);
    this.#tell(`${service} gives up ${name}`, [row(service, 'gives up', context, what, 'red')]);
  }

  title(text: string): void {
    this.line(style('bold', `${++this.#steps}  ${text}`));
  }

  line(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  #tell(effect: string, lines: string[]): void {
    this.#waiting.push({ effect, text: lines.join('\n') });
    while (this.#expected.length > 0) {
      const next = this.#waiting.findIndex(({ effect }) => effect === this.#expected[0]);
      if (next === -1) return;
      this.line(this.#waiting.splice(next, 1)[0]!.text);
      this.#expected.shift();
    }
    this.#finish();
  }

  #missing(): string {
    const early = this.#waiting.map(({ effect }) => `'${effect}'`).join(', ') || 'nothing';
    return `waited ${STEP_TIMEOUT_MS / 1_000} s for '${this.#expected[0]}'; what came instead: ${early}`;
  }
}

/** One story for the three applications of this process. */
export const narrator = new Narrator();

function row(service: string, verb: string, context: EventContext, note: string, color: Style): string {
  const { name, correlationId } = context;
  const cells = [service.padEnd(20), style(color, verb.padEnd(8)), name.padEnd(14)];
  return `   ${cells.join('  ')}  correlation ${shortId(correlationId)}  ${note}`.trimEnd();
}

const shortId = (id: string): string => id.slice(0, 8);

const style = (format: Style, text: string): string => (COLORS ? styleText(format, text) : text);
