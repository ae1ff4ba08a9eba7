import type { StandardSchema } from '../core/contract';
import { EventsConfigurationError } from '../core/errors';

interface Violation {
  readonly property: string;
  readonly constraints?: Readonly<Record<string, string>>;
  readonly children?: readonly Violation[];
}
interface ClassValidator {
  readonly validate: (value: object) => Promise<readonly Violation[]>;
}
interface ClassTransformer {
  readonly plainToInstance: (type: new () => object, value: unknown) => object;
}

/** A class-validator class as a Standard Schema. Its output is an instance of the class. */
export function classSchema(eventName: string, type: new () => object): StandardSchema {
  const { validate } = load<ClassValidator>('class-validator', eventName, type);
  const { plainToInstance } = load<ClassTransformer>('class-transformer', eventName, type);
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

// Optional peers: loaded when a contract needs them, reported as a configuration error when they are missing.
function load<T>(peer: string, eventName: string, type: new () => object): T {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    return require(peer) as T;
  } catch (cause) {
    throw new EventsConfigurationError(
      'events',
      `the contract of '${eventName}' is the class ${type.name}: install \`class-validator\` and \`class-transformer\` to use it`,
      { cause },
    );
  }
}
