import { isStandardSchema, type EventContract, type StandardSchema } from '../core/contract';
import { inexactError } from '../core/decoding';
import { EventsError, EventValidationError, NonRetryableError, type ValidationIssue } from '../core/errors';
import type { Stage } from '../core/middleware';
import { classSchema } from './class-validator';

/**
 * Holds events to their contracts. Emitting, what the caller gave is checked and sent as it is; handling, the handler
 * receives what the schema makes of it, so that a transformation is applied once.
 */
export function validation(contracts: readonly EventContract[], strict: boolean): Stage {
  const schemas = new Map<string, StandardSchema>(
    contracts.map(({ name, schema }) => [
      name,
      isStandardSchema(schema) ? schema : classSchema(name, schema as new () => object),
    ]),
  );

  const validate = async (name: string, data: unknown): Promise<unknown> => {
    const schema = schemas.get(name);
    if (schema === undefined) {
      if (!strict) return data;
      throw new EventsError('unknown_event', `'${name}' has no contract in \`events\`, and \`strict\` is on`);
    }
    const result = await schema['~standard'].validate(data);
    if (result.issues === undefined) return result.value;
    throw new EventValidationError(
      name,
      result.issues.map(({ path, message }): ValidationIssue => ({ path: pointer(path ?? []), message })),
    );
  };

  return {
    publish: async (event, next) => {
      await validate(event.name, event.data);
      return next(event);
    },
    consume: async (event, next) => {
      try {
        event.data = await validate(event.name, event.data);
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
    },
  };
}

const pointer = (path: readonly (PropertyKey | { readonly key: PropertyKey })[]): string =>
  path
    .map((segment) => String(typeof segment === 'object' ? segment.key : segment))
    .map((token) => `/${token.replace(/~/g, '~0').replace(/\//g, '~1')}`)
    .join('');
