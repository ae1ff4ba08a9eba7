/**
 * Vitest is installed where these tests run, not here: its native parts would have to be fetched by everybody who checks
 * out this project. What the tests use of it is like Jest's.
 */
declare module 'vitest' {
  export const afterAll: jest.Lifecycle;
  export const afterEach: jest.Lifecycle;
  export const beforeAll: jest.Lifecycle;
  export const beforeEach: jest.Lifecycle;
  export const describe: jest.Describe;
  export const expect: jest.Expect;
  export const it: jest.It;
}
