import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import importX from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.cache/', 'coverage/', '**/node_modules/'] },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    plugins: { 'import-x': importX },
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.json', './spec/types/*/tsconfig.json', './spec/acceptance/app/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    settings: { 'import-x/resolver-next': [createTypeScriptImportResolver({ project: './tsconfig.json' })] },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/require-await': 'off',
      'import-x/no-cycle': 'error',
      'no-console': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
    },
  },
  {
    // The star of folders: core imports nothing of ours; a leaf imports core; an entry imports the index of each leaf.
    files: ['lib/**/*.ts'],
    rules: {
      'import-x/no-restricted-paths': [
        'error',
        {
          zones: [
            { target: './lib/core', from: './lib', except: ['./core'], message: 'core/ imports only itself' },
            {
              target: './lib/middleware',
              from: './lib',
              except: ['./core', './middleware'],
              message: 'a leaf imports core/ only',
            },
            {
              target: './lib/transports/memory',
              from: './lib',
              except: ['./core', './transports/memory'],
              message: 'a leaf imports core/ only',
            },
            {
              target: './lib/transports/nats',
              from: './lib',
              except: ['./core', './transports/nats'],
              message: 'a leaf imports core/ only',
            },
          ],
        },
      ],
    },
  },
  {
    // Two kinds of time: what jumps with the clock of the machine must not measure durations.
    files: ['lib/**/*.ts'],
    ignores: ['lib/core/clock.ts', 'lib/testing/**'],
    rules: {
      'no-restricted-properties': [
        'error',
        {
          object: 'Date',
          property: 'now',
          message: 'performance.now() or Clock.monotonic() for durations, systemClock.now() for timestamps',
        },
      ],
    },
  },
  { files: ['samples/**/*.ts'], rules: { 'no-console': 'off' } },
  {
    files: ['lib/core/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        { patterns: [{ regex: '^(?!node:|\\.)', message: 'core/ imports only the Node standard library' }] },
      ],
    },
  },
);
