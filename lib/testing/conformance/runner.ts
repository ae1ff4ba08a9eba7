interface Runner {
  readonly describe: (title: string, body: () => void) => void;
  readonly it: (title: string, body: () => Promise<void>, timeout: number) => void;
}

/** The test runner's own functions, taken from where Jest, Vitest and Mocha put them, so that none is imported. */
export function testRunner(): Runner {
  const { describe, it } = globalThis as unknown as Partial<Runner>;
  if (typeof describe !== 'function' || typeof it !== 'function') {
    throw new Error(
      'transportConformance needs the globals `describe` and `it`: call it at the top of a test file; in Vitest set `test.globals: true`',
    );
  }
  return { describe, it };
}
