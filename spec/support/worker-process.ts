import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EventsModuleOptions, SubscribeOptions } from '@venta/events';

const POLL_MS = 10;
const EXIT_TIMEOUT_MS = 30_000;
/** For a machine on which many of them start at once, beside other work. */
const READY_TIMEOUT_MS = 90_000;

/**
 * What a handler does with an event: `kill` kills its own process, `mend` fails while the event is younger than
 * `failsFor`, a number asks for another try after so many ms.
 */
export type Action = 'ok' | 'fail' | 'reject' | 'kill' | 'mend' | number;

/** Data of the events that workers handle. */
export interface WorkerEvent {
  /** Milliseconds the handler takes; as a list by attempt, the last one for all further attempts. Default: 0. */
  wait?: number | number[];
  /** By attempt, likewise. Default: `['ok']`. */
  do?: Action[];
  /** Milliseconds for which `mend` fails. */
  failsFor?: number;
  /** The handler that obeys; others handle the event without ado. Default: all. */
  only?: string;
}

/** Where the worker's database module is, seen from its events module. */
export const LAYOUTS = [
  'in the root module',
  'before the events',
  'after the events',
  'global',
  'far from the root',
  'near the root, events far',
] as const;

export interface WorkerOptions {
  readonly app: string;
  readonly url: string;
  readonly clusterId: string;
  readonly handlers: readonly { name: string; on: string | string[]; options?: SubscribeOptions }[];
  /** Further options of the module, as far as JSON carries them. */
  readonly module?: EventsModuleOptions;
  /** Milliseconds; shorter than the package's own for tests that would wait for it often. */
  readonly ackWait?: number;
  /** With it, handlers use a database, which closes when its module is destroyed. */
  readonly layout?: (typeof LAYOUTS)[number];
}

export interface JournalEntry {
  readonly at: number;
  readonly pid: number;
  readonly app: string;
  readonly what: 'ready' | 'start' | 'done' | 'fail' | 'suicide' | 'database closed' | 'log';
  /** Of the event. */
  readonly id?: string;
  readonly name?: string;
  readonly handler?: string;
  readonly attempt?: number;
  readonly level?: string;
  readonly message?: string;
}

/** What all processes of a test have written, in the order written. */
export class Journal<Entry = JournalEntry> {
  readonly file: string;
  readonly #entries: Entry[] = [];
  readonly #folder: string;
  // One for all reads: they come every few milliseconds, and to make one is dearer than to read.
  readonly #chunk = Buffer.alloc(1 << 20);
  #offset = 0;
  #rest = '';

  private constructor(folder: string) {
    this.#folder = folder;
    this.file = path.join(folder, 'journal');
    closeSync(openSync(this.file, 'a'));
  }

  static async create<Entry = JournalEntry>(): Promise<Journal<Entry>> {
    return new Journal<Entry>(await mkdtemp(path.join(os.tmpdir(), 'events-journal-')));
  }

  get entries(): readonly Entry[] {
    this.#read();
    return this.#entries;
  }

  /** Resolves when the entries are what is waited for; an error tells the last of them. */
  async until(
    what: string,
    check: (entries: readonly Entry[]) => boolean | Promise<boolean>,
    timeout = 30_000,
  ): Promise<void> {
    const deadline = Date.now() + timeout;
    while (!(await check(this.entries))) {
      if (Date.now() > deadline) {
        const last = this.entries.slice(-20).map((entry) => JSON.stringify(entry).slice(0, 400));
        throw new Error(`not within ${timeout} ms: ${what}. The last entries:\n${last.join('\n')}`);
      }
      await sleep(POLL_MS);
    }
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  #read(): void {
    const file = openSync(this.file, 'r');
    try {
      const chunk = this.#chunk;
      for (;;) {
        const length = readSync(file, chunk, 0, chunk.length, this.#offset);
        if (length === 0) return;
        this.#offset += length;
        const lines = (this.#rest + chunk.toString('utf8', 0, length)).split('\n');
        this.#rest = lines.pop() ?? '';
        for (const line of lines) this.#entries.push(JSON.parse(line) as Entry);
      }
    } finally {
      closeSync(file);
    }
  }
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly at: number;
}

/** A program of this repository in a process of its own, which ends with this one. */
export class Program {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #output = '';
  #running = true;

  /** @param options handed over as JSON */
  constructor(file: string, options: object) {
    this.#child = spawn(process.execPath, ['--enable-source-maps', file, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: Object.fromEntries(
        Object.entries(process.env).filter(([key]) => !/^(NATS_|EVENT_|APP_NAME$|NODE_OPTIONS$)/.test(key)),
      ),
    });
    this.pid = this.#child.pid ?? 0;
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (text: Buffer) => (this.#output += text.toString()));
    }
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        this.#running = false;
        resolve({ code, signal, at: Date.now() });
      });
    });
  }

  get running(): boolean {
    return this.#running;
  }

  /** All that it printed. */
  get output(): string {
    return this.#output;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#running) this.#child.kill(signal);
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.signal(signal);
    const timer = new AbortController();
    const late = sleep(EXIT_TIMEOUT_MS, undefined, { signal: timer.signal }).catch(() => undefined);
    const exit = await Promise.race([this.exited, late]);
    timer.abort();
    if (exit === undefined) throw new Error(`process ${this.pid} is still there after ${signal}`);
    return exit;
  }
}

/** Starts a worker; it is ready when it has said so in the journal. */
export const startWorker = (options: WorkerOptions, journal: { readonly file: string }): Program =>
  new Program(path.join(__dirname, 'worker.mjs'), { ...options, journal: journal.file });

/** Resolves when these workers consume. */
export async function workersReady(journal: Journal, workers: readonly Program[]): Promise<void> {
  await journal.until(
    'workers are ready',
    (entries) => {
      const ready = new Set(entries.filter(({ what }) => what === 'ready').map(({ pid }) => pid));
      const ended = workers.find((worker) => !worker.running && !ready.has(worker.pid));
      if (ended !== undefined) {
        const log = entries.filter(({ pid, level }) => pid === ended.pid && level === 'error');
        throw new Error(
          `worker ${ended.pid} ended at its start: ${ended.output}\n${log.map(({ message }) => message).join('\n')}`,
        );
      }
      return workers.every(({ pid }) => ready.has(pid));
    },
    READY_TIMEOUT_MS,
  );
}
