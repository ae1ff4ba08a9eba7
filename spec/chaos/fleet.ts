import { type Program, startWorker, type Journal, type WorkerOptions } from '../support/worker-process';
import type { ChaosEntry } from './ledger';

type Handlers = WorkerOptions['handlers'];

export interface Service {
  readonly app: string;
  readonly instances: number;
  readonly handlers: Handlers;
  /** Handlers of the next version, started by `deploy()`. */
  readonly next?: Handlers;
}

interface FleetOptions {
  readonly urls: readonly string[];
  readonly clusterId: string;
  /** Milliseconds. */
  readonly ackWait: number;
  readonly module: WorkerOptions['module'];
  readonly services: readonly Service[];
  readonly journal: Journal<ChaosEntry>;
}

/** The processes of all services. A process that ends is replaced. */
export class Fleet {
  started = 0;
  /** Processes of the next version. */
  readonly nextPids = new Set<number>();
  readonly #running = new Map<Program, Service>();
  readonly #options: FleetOptions;
  #deployed = false;
  #stopping = false;

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  start(): void {
    for (const service of this.#options.services) {
      for (let i = 0; i < service.instances; i++) this.#keep(service);
    }
  }

  /** @param which 0 to 1 */
  killOne(which: number): boolean {
    const running = [...this.#running.keys()];
    const victim = running[Math.floor(which * running.length)];
    victim?.signal('SIGKILL');
    return victim !== undefined;
  }

  /** Replaces the instances of each service that has a next version, one after the other, by SIGTERM. */
  async deploy(): Promise<void> {
    this.#deployed = true;
    for (const [program, { next }] of [...this.#running]) {
      if (next === undefined) continue;
      program.signal('SIGTERM');
      await program.exited;
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#running.keys()].map((program) => program.kill('SIGTERM')));
  }

  #keep(service: Service): void {
    const { urls, clusterId, ackWait, module, journal } = this.#options;
    const handlers = (this.#deployed && service.next) || service.handlers;
    this.started++;
    const program = startWorker(
      { app: service.app, handlers, url: urls.join(','), clusterId, ackWait, module },
      journal,
    );
    this.#running.set(program, service);
    if (this.#deployed && service.next !== undefined) this.nextPids.add(program.pid);
    void program.exited.then(() => {
      this.#running.delete(program);
      if (!this.#stopping) this.#keep(service);
    });
  }
}
