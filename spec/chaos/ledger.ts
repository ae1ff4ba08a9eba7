import type { JournalEntry } from '../support/worker-process';
import type { Kind, PlannedEvent } from './plan';

export interface Letter {
  readonly id: string;
  readonly handler: string;
  readonly reason: string;
}

/** What an entry of the journal may be here, besides what workers write. */
export type ChaosEntry = Omit<JournalEntry, 'what'> & {
  readonly what: JournalEntry['what'] | 'acknowledged' | 'refused';
};

export interface HandlerLedger {
  readonly handler: string;
  acknowledged: number;
  handled: number;
  repeated: number;
  /** Runs, of all events. */
  runs: number;
  readonly deadLetters: Record<string, number>;
  lost: number;
}

export interface Ledger {
  readonly handlers: readonly HandlerLedger[];
  readonly acknowledged: number;
  readonly refused: number;
  /** Whatever must not be; empty when all is well. */
  readonly complaints: readonly string[];
}

/** The dead letter of an event of a kind, in the handler it is meant for; all others end handled. */
const REASON: Partial<Record<Kind, string>> = {
  failing: 'attempts_exhausted',
  rejected: 'non_retryable',
  killer: 'crash_loop',
};

interface LedgerInput {
  readonly planned: readonly PlannedEvent[];
  readonly handlersOf: (name: string) => readonly string[];
  readonly entries: readonly ChaosEntry[];
  /** Ids of the events in the stream. */
  readonly stored: ReadonlySet<string>;
  readonly letters: readonly Letter[];
}

/** Compares the events in the stream with the handled events and the dead letters of each handler. */
export function ledgerOf({ planned, handlersOf, entries, stored, letters }: LedgerInput): Ledger {
  const acknowledged = new Set(
    entries.filter(({ what }) => what === 'acknowledged').map(({ id = '' }) => id),
  );
  const count = (what: ChaosEntry['what']): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const entry of entries) {
      if (entry.what !== what) continue;
      const key = `${entry.handler} ${entry.id}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return counts;
  };
  const [starts, dones] = [count('start'), count('done')];
  const reasons = new Map<string, string[]>();
  for (const { handler, id, reason } of letters) {
    const key = `${handler} ${id}`;
    reasons.set(key, [...(reasons.get(key) ?? []), reason]);
  }

  const complaints = [...acknowledged]
    .filter((id) => !stored.has(id))
    .map((id) => `acknowledged and not in the stream: ${id}`);
  const ledgers = new Map<string, HandlerLedger>();
  for (const { id, kind, name, data } of planned) {
    // An event whose acknowledgement was lost may be stored or not; if it is, it ends like the others.
    const confirmed = acknowledged.has(id) || stored.has(id);
    for (const handler of handlersOf(name)) {
      const key = `${handler} ${id}`;
      const ledger = ledgers.get(handler) ?? {
        ...{ handler, acknowledged: 0, handled: 0, repeated: 0, runs: 0, deadLetters: {}, lost: 0 },
      };
      ledgers.set(handler, ledger);
      const done = dones.get(key) ?? 0;
      const ends = reasons.get(key) ?? [];
      reasons.delete(key);
      ledger.runs += starts.get(key) ?? 0;
      if (confirmed) ledger.acknowledged++;
      if (done > 0) ledger.handled++;
      if (done > 1) ledger.repeated++;
      for (const reason of ends) ledger.deadLetters[reason] = (ledger.deadLetters[reason] ?? 0) + 1;

      if (confirmed && done === 0 && ends.length === 0) {
        ledger.lost++;
        complaints.push(`lost: ${id} in ${handler}`);
      }
      const expected = data.only === handler ? REASON[kind] : undefined;
      if (ends.length > 1) complaints.push(`${ends.length} dead letters of ${id} in ${handler}`);
      for (const reason of ends) {
        if (reason !== expected) {
          complaints.push(`dead letter ${reason} of ${id} in ${handler}, not ${expected ?? 'one at all'}`);
        }
      }
      if (expected !== undefined && done > 0) complaints.push(`${id} was handled in ${handler}`);
    }
  }
  for (const key of reasons.keys()) complaints.push(`a dead letter of nothing that was emitted: ${key}`);
  return {
    handlers: [...ledgers.values()].sort((a, b) => (a.handler < b.handler ? -1 : 1)),
    acknowledged: acknowledged.size,
    refused: entries.filter(({ what }) => what === 'refused').length,
    complaints,
  };
}
