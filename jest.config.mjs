import path from 'node:path';

// Types are checked by `npm run types`; the tests are only transformed. swc emits the decorator metadata Nest needs.
const swc = (transform) => [
  '@swc/jest',
  {
    jsc: {
      target: 'es2022',
      parser: { syntax: 'typescript', decorators: true },
      transform: { legacyDecorator: true, decoratorMetadata: true, ...transform },
      keepClassNames: true,
    },
  },
];

const LIBRARY = path.join(import.meta.dirname, 'lib', path.sep).replace(/[^A-Za-z0-9]/g, '\\$&');

const shared = {
  testEnvironment: 'node',
  transform: {
    // The package as tsconfig.json says, everything else as an application for ES2022 is compiled.
    [`^${LIBRARY}.+\\.ts$`]: swc({ useDefineForClassFields: false }),
    '^.+\\.ts$': swc({}),
  },
  moduleNameMapper: {
    '^@venta/events$': '<rootDir>/lib/index.ts',
    '^@venta/events/testing$': '<rootDir>/lib/testing/index.ts',
  },
};

const config = {
  // A ceiling, not a measure: machines that run this are shared.
  testTimeout: 30_000,
  testSequencer: '<rootDir>/spec/support/slow-first.mjs',
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/spec/{core,middleware,nest,testing,transports/memory,types}/**/*.spec.ts'],
    },
    {
      ...shared,
      displayName: 'integration',
      testMatch: ['<rootDir>/spec/{conformance,e2e,faults,transports/nats,support,wire}/**/*.spec.ts'],
      globalSetup: '<rootDir>/spec/support/global-setup.ts',
    },
  ],
};

export default config;
