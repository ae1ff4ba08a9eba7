import type { Orphan, StoredDeadLetter as DeadLetterToRedrive } from '../../core/dead-letter-store';
import { EventsError } from '../../core/errors';
import { isSubject } from '../../core/subject';
import type { Consumer, OutboundMessage, SubscriptionSpec } from '../../core/transport';
import { DeadLetterStream, type StoredDeadLetter } from './dead-letter-stream';
import { DuplicateWindow } from './duplicate-window';
import { MemoryDurable } from './durable';
import { EphemeralGroup } from './ephemeral-group';
import { EventStream, type StoredEvent } from './event-stream';
import { toBrokerMessage, type BrokerMessage } from './message';
import { redrivenEvent } from './redriven-event';
import { MemorySubscription } from './subscription';
import type { StreamLimits } from './stream-options';
import type { Host } from './work';

interface Streams {
  readonly events: EventStream;
  readonly deadLetters: DeadLetterStream;
  readonly redriveIds: DuplicateWindow;
}

/** Where a message went. `undefined`: there is no stream. */
export type Stored = { readonly sequence: number; readonly duplicate: boolean } | undefined;

/** Unsettled events that the limits drop are told of at the first and then at every so many. */
const WARN_EVERY = 10_000;

/** What services with one cluster id share: the streams, the durables, and who listens. */
export class MemoryCluster {
  // By name; what belongs to one subscription only, a broadcast's, by a symbol of its own.
  readonly #durables = new Map<string | symbol, MemoryDurable>();
  readonly #groups = new Map<string | symbol, EphemeralGroup>();
  #streams: Streams | undefined;
  #published = 0;
  #redriven = 0;
  #droppedUnsettled = 0;

  constructor(readonly id: string) {}

  /** Makes the streams, unless they exist. Until then, what is published reaches only those who listen. */
  ensureStreams(limits: StreamLimits): Streams {
    return (this.#streams ??= {
      events: new EventStream(this.id, limits),
      deadLetters: new DeadLetterStream(this.id, limits),
      redriveIds: new DuplicateWindow(limits),
    });
  }

  /** Sequence of the newest event in the stream. */
  get last(): number {
    return this.#streams?.events.last ?? 0;
  }

  events(): readonly StoredEvent[] {
    return this.#streams?.events.toArray() ?? [];
  }

  deadLetters(): readonly StoredDeadLetter[] {
    return this.#streams?.deadLetters.toArray() ?? [];
  }

  /** Absent where there are no streams. */
  get deadLetterStream(): DeadLetterStream | undefined {
    return this.#streams?.deadLetters;
  }

  /** Whoever listens gets the message, even one that the stream knows already. */
  publish(message: BrokerMessage, messageId: string, host: Host): Stored {
    const number = ++this.#published;
    for (const group of this.#groups.values()) group.offer(message, number);
    if (this.#streams === undefined) return undefined;
    const { sequence, duplicate, dropped } = this.#streams.events.append(message, messageId);
    for (const event of dropped) this.#reportDrop(event, host);
    if (!duplicate) for (const durable of this.#durables.values()) durable.notify(message.name);
    return { sequence, duplicate };
  }

  /** Resolves when more can be published, and is `undefined` if it can. */
  get room(): Promise<unknown> | undefined {
    let full: Promise<void>[] | undefined;
    for (const { room } of this.#groups.values()) if (room !== undefined) (full ??= []).push(room);
    return full && Promise.all(full);
  }

  /** The outbound message as this cluster holds it. */
  accept(message: OutboundMessage, { clock }: Host): BrokerMessage {
    return toBrokerMessage(this.id, message, clock.now());
  }

  /**
   * @param last sequence after which a durable starts that is made now and starts from `'new'`
   * @param onStopped called when nothing of it runs any more; it is to `leave` then
   * @throws EventsError `duplicate_handler` when the durable belongs to another handler
   */
  subscribe(
    spec: SubscriptionSpec,
    consumer: Consumer,
    host: Host,
    limits: StreamLimits,
    last: number,
    onStopped: (subscription: MemorySubscription) => void,
  ): MemorySubscription {
    const key = spec.broadcast ? Symbol(spec.durable) : spec.durable;
    const source =
      spec.delivery === 'durable' ? this.#durable(key, spec, limits, last) : this.#group(key, spec, host);
    const subscription = new MemorySubscription(spec, source, consumer, host, onStopped);
    source.join(subscription);
    return subscription;
  }

  /** Of one that has stopped. */
  leave(subscription: MemorySubscription): void {
    const { source } = subscription;
    source.leave(subscription);
    if (!source.empty) return;
    // Its last member has left: what no instance of the service can take up again goes with it.
    if (source instanceof EphemeralGroup) this.#close(source);
    else if (source instanceof MemoryDurable && source.spec.broadcast) this.#durables.delete(source.key);
    else return;
    source.discard();
  }

  /**
   * Puts the event of a dead letter into the queue of its durable: once for each number of redrives, within the duplicate
   * window.
   * @throws EventsError `no_handler` when there is no such durable
   */
  redrive(letter: DeadLetterToRedrive, redrives: number, { clock }: Host): void {
    const { streams, durable } = this.redrivable(letter);
    const sequence = this.#redriven + 1;
    const redrivenAt = clock.now();
    const messageId = `${letter.id}-${letter.storedAt}-${redrives}`;
    if (streams.redriveIds.add(messageId, sequence, redrivenAt) !== undefined) return;
    this.#redriven = sequence;
    durable.redrive(redrivenEvent(this.id, letter, redrives, { sequence, redrivenAt }));
  }

  /**
   * The durable that the event of a dead letter can be put back to.
   * @throws EventsError `no_handler` when there is none
   */
  redrivable({ id, headers }: DeadLetterToRedrive): { streams: Streams; durable: MemoryDurable } {
    const name = headers['Event-Origin-Durable'] ?? '';
    const refuse = (why: string): never => {
      throw new EventsError(
        'no_handler',
        `dead letter ${id} is for handler '${headers['Event-Origin-Handler'] ?? name}' of ` +
          `'${headers['Event-Origin-App']}', and ${why}`,
      );
    };
    const durable = this.#durables.get(name);
    if (this.#streams === undefined || durable === undefined) {
      return refuse(
        `there is no durable '${name}': it was renamed or removed, or it is a broadcast or ephemeral one, which cannot be ` +
          `redriven`,
      );
    }
    const subject = headers['Event-Origin-Subject'] ?? '';
    if (!isSubject(subject))
      return refuse(`nobody knows which event it is: ${JSON.stringify(subject)} is no subject`);
    return { streams: this.#streams, durable };
  }

  /** Durables of these services, as written, that nobody subscribes at this moment. */
  orphans(apps: ReadonlySet<string>): Orphan[] {
    return [...this.#durables.values()]
      .filter(({ spec, empty }) => empty && apps.has(spec.app))
      .map(({ spec, backlog }) => ({
        durable: spec.durable,
        stream: this.id,
        handler: spec.handler,
        patterns: spec.patterns,
        backlog,
      }));
  }

  /** The subscriptions that handle something at this moment, or are about to. */
  busy(): SubscriptionSpec[] {
    return [...this.#durables.values(), ...this.#groups.values()].flatMap(({ members }) =>
      members.filter(({ busy }) => busy).map(({ spec }) => spec),
    );
  }

  /** Cancels the retries that wait. */
  discard(): void {
    for (const durable of this.#durables.values()) durable.discard();
  }

  #durable(key: string | symbol, spec: SubscriptionSpec, limits: StreamLimits, last: number): MemoryDurable {
    const existing = this.#durables.get(key);
    if (existing !== undefined) {
      const { app, handler, durable } = existing.spec;
      if (app !== spec.app || handler !== spec.handler) {
        throw new EventsError(
          'duplicate_handler',
          `the durable '${durable}' belongs to handler '${handler}' of '${app}', and handler '${spec.handler}' of ` +
            `'${spec.app}' would share it: their names differ only in characters a durable cannot have; rename one`,
        );
      }
      existing.update(spec);
      return existing;
    }
    const { events, deadLetters } = this.ensureStreams(limits);
    const created = new MemoryDurable(key, spec, events, deadLetters, events.startOf(spec.startFrom, last));
    this.#durables.set(key, created);
    return created;
  }

  #group(key: string | symbol, spec: SubscriptionSpec, host: Host): EphemeralGroup {
    const existing = this.#groups.get(key);
    existing?.update(spec);
    if (existing !== undefined) return existing;
    const created = new EphemeralGroup(
      key,
      spec,
      this.id,
      () => this.#streams?.deadLetters,
      host,
      (group) => this.#close(group),
    );
    this.#groups.set(key, created);
    return created;
  }

  /** There may be a successor already. */
  #close(group: EphemeralGroup): void {
    if (this.#groups.get(group.key) === group) this.#groups.delete(group.key);
  }

  #reportDrop(event: StoredEvent, { logger }: Host): void {
    for (const durable of this.#durables.values()) {
      if (!durable.needs(event)) continue;
      if (this.#droppedUnsettled++ % WARN_EVERY !== 0) return;
      logger.warn(
        `the memory stream '${this.id}' is full: '${event.name}' (sequence ${event.sequence}) was dropped before ` +
          `'${durable.spec.durable}' had settled it; ${this.#droppedUnsettled} such events so far`,
      );
      return;
    }
  }
}
