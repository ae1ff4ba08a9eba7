import { MemoryBroker } from './broker';

interface Shared {
  readonly broker: MemoryBroker;
  users: number;
}

// The one state outside of an application: two copies of the package in a process find the same brokers.
const REGISTRY = Symbol.for('@venta/events/memory');
const holder = globalThis as { [REGISTRY]?: Map<string, Shared> };

/** A broker, and the function that gives it back; the last to do so discards the broker. */
export interface Lease {
  readonly broker: MemoryBroker;
  readonly release: () => void;
}

/** The broker of `memory://<name>`; one of its own without a name. Release once. */
export function acquireBroker(name: string | undefined): Lease {
  if (name === undefined || name === '') {
    const broker = new MemoryBroker();
    return { broker, release: () => broker.discard() };
  }
  const brokers = (holder[REGISTRY] ??= new Map<string, Shared>());
  const shared = brokers.get(name) ?? { broker: new MemoryBroker(), users: 0 };
  brokers.set(name, shared);
  shared.users++;
  return {
    broker: shared.broker,
    release: () => {
      if (--shared.users > 0) return;
      brokers.delete(name);
      shared.broker.discard();
    },
  };
}
