/** The part of class-transformer that is used here. */
export interface ClassTransformer {
  readonly plainToInstance: (type: new () => object, value: unknown) => object;
}

/** Where a copy of class-transformer keeps what its decorators said, by class. */
type Storage = Readonly<Record<string, unknown>>;

const STORAGE_FILE = /([\\/]class-transformer[\\/].*?)storage\.js$/;
const DECORATED = ['_typeMetadatas', '_transformMetadatas', '_exposeMetadatas', '_excludeMetadatas'] as const;

/**
 * The loaded copies of class-transformer whose decorators this class has. None in a bundle, which has no list of them.
 * @param modules the modules that this process has loaded, by file
 */
export function transformersOf(
  type: object,
  modules: Readonly<Record<string, NodeJS.Module | undefined>> | undefined,
): ClassTransformer[] {
  if (modules === undefined) return [];
  return Object.keys(modules).flatMap((file) => {
    if (!STORAGE_FILE.test(file)) return [];
    const { defaultMetadataStorage: storage } = (modules[file]?.exports ?? {}) as {
      defaultMetadataStorage?: Storage;
    };
    const index = modules[file.replace(/storage\.js$/, 'index.js')]?.exports as ClassTransformer | undefined;
    return storage !== undefined && index !== undefined && knows(storage, type) ? [index] : [];
  });
}

const knows = (storage: Storage, type: object): boolean =>
  DECORATED.some((kind) => {
    const byClass = storage[kind];
    return byClass instanceof Map && byClass.has(type);
  });
