import type { DeadLetterScan, DeadLetterStore, StoredDeadLetter } from '../../core/dead-letter-store';
import type { MemoryCluster } from './cluster';
import type { DeadLetterStream, StoredDeadLetter as BrokerDeadLetter } from './dead-letter-stream';
import type { Host } from './work';

const NO_BODY = new Uint8Array();

/** The dead letters of a cluster, and the way from there to the queues of its durables. */
export class MemoryDeadLetterStore implements DeadLetterStore {
  /** @param cluster throws when the application is not connected (any more) */
  constructor(
    private readonly cluster: () => MemoryCluster,
    private readonly host: Host,
  ) {}

  async scan({ after, limit, headersOnly = false }: DeadLetterScan): Promise<StoredDeadLetter[]> {
    const letters = this.#stream?.after(Number(after ?? 0), limit) ?? [];
    return letters.map((letter) => toDeadLetter(headersOnly ? { ...letter, body: NO_BODY } : letter));
  }

  async newest(): Promise<number> {
    return this.#stream?.last ?? 0;
  }

  async get(id: string): Promise<StoredDeadLetter | undefined> {
    const letter = this.#stream?.get(Number(id));
    return letter && toDeadLetter(letter);
  }

  async assertRedrivable(letter: StoredDeadLetter): Promise<void> {
    this.cluster().redrivable(letter);
  }

  async redrive(letter: StoredDeadLetter, redrives: number): Promise<void> {
    this.cluster().redrive(letter, redrives, this.host);
  }

  async remove(id: string): Promise<boolean> {
    return this.#stream?.remove(Number(id)) ?? false;
  }

  get #stream(): DeadLetterStream | undefined {
    return this.cluster().deadLetterStream;
  }
}

const toDeadLetter = ({ sequence, headers, body, storedAt }: BrokerDeadLetter): StoredDeadLetter => ({
  id: String(sequence),
  headers,
  body,
  storedAt,
});
