import type { StandardSchema } from '../core/contract';
import { EventsConfigurationError } from '../core/errors';
import { textOf } from '../core/thrown';
import { transformersOf, type ClassTransformer } from './class-transformers';

interface Violation {
  readonly property: string;
  readonly constraints?: Readonly<Record<string, string>>;
  readonly children?: readonly Violation[];
}
interface ClassValidator {
  readonly validate: (value: object) => Promise<readonly Violation[]>;
  readonly getMetadataStorage?: () => {
    getTargetValidationMetadatas?: (
      type: object,
      schema: string,
      always: boolean,
      strictGroups: boolean,
    ) => readonly { readonly type: string; readonly propertyName: string }[];
  };
}
type Class = new () => object;

/**
 * A class-validator class as a Standard Schema. Its output is an instance of the class.
 * @throws EventsConfigurationError if class-validator or class-transformer cannot be loaded, or if another copy of
 * class-transformer than this one has what the class says of its properties
 */
export function classSchema(eventName: string, type: Class): StandardSchema {
  // Each name in a `require` of its own: bundlers see neither otherwise.
  /* eslint-disable @typescript-eslint/no-require-imports */
  const validator = loaded(
    'class-validator',
    eventName,
    type,
    () => require('class-validator') as ClassValidator,
  );
  const installed = loaded(
    'class-transformer',
    eventName,
    type,
    () => require('class-transformer') as ClassTransformer,
  );
  /* eslint-enable @typescript-eslint/no-require-imports */
  const transformer = transformerOf(eventName, type, installed);
  assertNested(eventName, type, validator, transformer, new Set());
  const { validate } = validator;
  const { plainToInstance } = transformer;
  return {
    '~standard': {
      version: 1,
      vendor: 'class-validator',
      validate: async (data) => {
        if (typeof data !== 'object' || data === null || Array.isArray(data)) {
          return { issues: [{ message: `expected an object for ${type.name}` }] };
        }
        const value = plainToInstance(type, data);
        const violations = await validate(value);
        return violations.length === 0
          ? { value }
          : { issues: violations.flatMap((violation) => issues(violation)) };
      },
    },
  };
}

function issues(
  violation: Violation,
  parents: readonly string[] = [],
): { message: string; path: readonly string[] }[] {
  const path = [...parents, violation.property];
  return [
    ...Object.values(violation.constraints ?? {}).map((message) => ({ message, path })),
    ...(violation.children ?? []).flatMap((child) => issues(child, path)),
  ];
}

/** Optional peers: loaded when a contract needs them. */
function loaded<T>(peer: string, eventName: string, type: Class, load: () => T): T {
  try {
    return load();
  } catch (cause) {
    const missing =
      (cause as { code?: unknown } | null)?.code === 'MODULE_NOT_FOUND' &&
      textOf(cause).includes(`'${peer}'`);
    throw new EventsConfigurationError(
      'events',
      `the contract of '${eventName}' is the class ${type.name}, which needs class-validator and class-transformer: ` +
        (missing
          ? `${peer} is not installed; install both`
          : `${peer} could not be loaded: ${textOf(cause).split('\n', 1)[0] ?? ''}`),
      { cause },
    );
  }
}

/** The copy of class-transformer whose decorators the class has; where there is nothing to choose, the installed one. */
function transformerOf(eventName: string, type: Class, installed: ClassTransformer): ClassTransformer {
  const copies = transformersOf(type, require.cache);
  if (copies.length > 1) throw twoCopies(eventName, type, 'has decorators of both, since');
  return copies[0] ?? installed;
}

/** @throws EventsConfigurationError if a nested object would stay a plain one, so that no event could be valid */
function assertNested(
  eventName: string,
  type: Class,
  validator: ClassValidator,
  transformer: ClassTransformer,
  seen: Set<object>,
): void {
  if (seen.has(type)) return;
  seen.add(type);
  const storage = validator.getMetadataStorage?.();
  const rules = storage?.getTargetValidationMetadatas?.(type, '', false, false) ?? [];
  for (const { type: rule, propertyName } of rules) {
    if (rule !== 'nestedValidation') continue;
    const nested = nestedIn(type, propertyName, transformer);
    if (nested === Object) {
      throw twoCopies(
        eventName,
        type,
        `says of '${propertyName}' that it is nested (@ValidateNested), and the copy of class-transformer that is used knows no @Type of it: ` +
          `add @Type(() => …), or`,
      );
    }
    if (nested !== undefined) assertNested(eventName, nested as Class, validator, transformer, seen);
  }
}

/** The class that an object in this property becomes; `undefined` where that depends on its content. */
function nestedIn(type: Class, property: string, transformer: ClassTransformer): unknown {
  try {
    const value: unknown = Reflect.get(transformer.plainToInstance(type, { [property]: {} }), property);
    return typeof value === 'object' && value !== null ? value.constructor : undefined;
  } catch {
    return undefined;
  }
}

const twoCopies = (eventName: string, type: Class, what: string): EventsConfigurationError =>
  new EventsConfigurationError(
    'events',
    `the contract of '${eventName}', the class ${type.name}, ${what} two copies of class-transformer are installed: ` +
      'let the contract and @venta/events use one (`npm ls class-transformer`, `npm dedupe`)',
  );
