import type { StartFrom } from '../../core/transport';
import { DuplicateWindow } from './duplicate-window';
import type { BrokerMessage } from './message';
import { MessageLog } from './message-log';
import type { StreamLimits } from './stream-options';

/** An event in the stream of a cluster. */
export interface StoredEvent extends BrokerMessage {
  readonly sequence: number;
  readonly messageId: string;
}

export interface Appended {
  readonly sequence: number;
  /** The id was known: nothing was stored, `sequence` is the original's. */
  readonly duplicate: boolean;
  /** What had to go for it. */
  readonly dropped: readonly StoredEvent[];
}

/** The stream of one cluster: limits retention, oldest dropped first, duplicates recognised by message id. */
export class EventStream {
  readonly #log: MessageLog<StoredEvent>;
  readonly #ids: DuplicateWindow;

  constructor(
    readonly name: string,
    limits: StreamLimits,
  ) {
    this.#log = new MessageLog(limits);
    this.#ids = new DuplicateWindow(limits);
  }

  get first(): number {
    return this.#log.first;
  }

  get last(): number {
    return this.#log.last;
  }

  get(sequence: number): StoredEvent | undefined {
    return this.#log.get(sequence);
  }

  append(message: BrokerMessage, messageId: string): Appended {
    const sequence = this.last + 1;
    const original = this.#ids.add(messageId, sequence, message.storedAt);
    if (original !== undefined) return { sequence: original, duplicate: true, dropped: [] };
    const dropped = this.#log.append({ ...message, sequence, messageId });
    return { sequence, duplicate: false, dropped };
  }

  /** The first sequence for a durable made now; `last` is that of the moment which counts as now. */
  startOf(startFrom: StartFrom, last: number): number {
    if (startFrom === 'first') return this.first;
    return startFrom === 'new' ? last + 1 : this.#since(startFrom.getTime());
  }

  #since(moment: number): number {
    const event = this.#log.toArray().find(({ storedAt }) => storedAt >= moment);
    return event?.sequence ?? this.last + 1;
  }

  toArray(): StoredEvent[] {
    return this.#log.toArray();
  }
}
