import { isStandardSchema, type EventContract, type StandardSchema } from '../core/contract';
import { inexactError } from '../core/decoding';
import { EventsError, EventValidationError, NonRetryableError, type ValidationIssue } from '../core/errors';
import { assertEventName } from '../core/event-name';
import type { InboundEvent } from '../core/inbound-event';
import type { ConsumeStep, EmitReceipt, OutboundEvent, PublishStep, Stage } from '../core/middleware';
import { classSchema } from './class-validator';

/** The contracts of a service, by the names of their events: those it was given, and those it came to know since. */
export class Contracts {
  readonly #schemas = new Map<string, StandardSchema>();

  /** @param strict whether an event without a contract is refused */
  constructor(
    contracts: readonly EventContract[],
    readonly strict: boolean,
  ) {
    for (const contract of contracts) this.#add(contract);
  }

  /**
   * Holds the event to this contract from now on, unless it has one.
   * @throws EventsError `unknown_event` if it has none, and `strict` is on
   */
  use(contract: EventContract): void {
    if (this.#schemas.has(contract.name)) return;
    if (this.strict) throw unknownEvent(contract.name);
    assertEventName(contract.name);
    this.#add(contract);
  }

  /** Whether every event passes as it is. */
  get passAll(): boolean {
    return !this.strict && this.#schemas.size === 0;
  }

  /** @throws EventValidationError, what the schema throws, or EventsError `unknown_event` */
  async validate(name: string, data: unknown): Promise<unknown> {
    const schema = this.#schemas.get(name);
    if (schema === undefined) {
      if (!this.strict) return data;
      throw unknownEvent(name);
    }
    const result = await schema['~standard'].validate(data);
    if (result.issues === undefined) return result.value;
    throw new EventValidationError(
      name,
      result.issues.map(({ path, message }): ValidationIssue => ({ path: pointer(path ?? []), message })),
    );
  }

  #add({ name, schema }: EventContract): void {
    this.#schemas.set(
      name,
      isStandardSchema(schema) ? schema : classSchema(name, schema as new () => object),
    );
  }
}

const unknownEvent = (name: string): EventsError =>
  new EventsError(
    'unknown_event',
    `'${name}' has no contract in \`events\`, and \`strict\` is on: add its contract to \`events\``,
  );

/**
 * Holds events to their contracts. Emitting, what the caller gave is checked and sent as it is; handling, the handler
 * receives what the schema makes of it, so that a transformation is applied once.
 */
export function validation(contracts: Contracts): Stage {
  const publish = async (event: OutboundEvent, next: PublishStep): Promise<EmitReceipt> => {
    await contracts.validate(event.name, event.data);
    return next(event);
  };
  const consume = async (event: InboundEvent, next: ConsumeStep): Promise<unknown> => {
    try {
      event.data = await contracts.validate(event.name, event.data);
    } catch (error) {
      // A schema that fails to run (it may look something up) is an ordinary failure; data that does not fit stays so.
      if (!(error instanceof EventsError)) throw error;
      if (event.inexact) {
        const cause = inexactError();
        throw new NonRetryableError(cause.message, { reason: 'undecodable', cause });
      }
      throw new NonRetryableError(error.message, { reason: 'validation', cause: error });
    }
    return next(event);
  };
  // What is not configured costs nothing.
  return {
    publish: (event, next) => (contracts.passAll ? next(event) : publish(event, next)),
    consume: (event, next) => (contracts.passAll ? next(event) : consume(event, next)),
  };
}

const pointer = (path: readonly (PropertyKey | { readonly key: PropertyKey })[]): string =>
  path
    .map((segment) => String(typeof segment === 'object' ? segment.key : segment))
    .map((token) => `/${token.replace(/~/g, '~0').replace(/\//g, '~1')}`)
    .join('');
