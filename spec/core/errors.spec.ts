import {
  EventsConfigurationError,
  EventSerializationError,
  EventsError,
  EventValidationError,
  NonRetryableError,
  RetryAfterError,
} from '../../lib/core/errors';

describe('the errors of the package', () => {
  it.each([
    [new EventsError('closed', 'm'), 'EventsError', 'closed', false],
    [new EventsError('disconnected', 'm', { retryable: true }), 'EventsError', 'disconnected', true],
    [new EventsConfigurationError('url', 'm'), 'EventsConfigurationError', 'invalid_configuration', false],
    [new EventSerializationError('/a', 'm'), 'EventSerializationError', 'unserializable', false],
    [new EventValidationError('a', []), 'EventValidationError', 'validation_failed', false],
    [new NonRetryableError('m'), 'NonRetryableError', 'non_retryable', false],
    [new RetryAfterError(5), 'RetryAfterError', 'retry_after', true],
  ])('%s has a name, a code, and says whether trying again can help', (error, name, code, retryable) => {
    expect(error).toBeInstanceOf(EventsError);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name, code, retryable });
    expect(error.stack).toContain('errors.spec.ts');
  });

  it('are known as EventsError across two installed copies of the package', () => {
    const copies: (typeof EventsError)[] = [];
    jest.isolateModules(() => {
      copies.push(
        jest.requireActual<{ EventsError: typeof EventsError }>('../../lib/core/errors').EventsError,
      );
    });
    const copy = copies[0] as typeof EventsError;
    expect(copy).not.toBe(EventsError);
    expect(new copy('closed', 'm')).toBeInstanceOf(EventsError);
    expect(new EventsError('closed', 'm')).toBeInstanceOf(copy);
    expect(new Error('m')).not.toBeInstanceOf(EventsError);
    expect(null).not.toBeInstanceOf(EventsError);
    expect(new EventsError('closed', 'm')).not.toBeInstanceOf(NonRetryableError);
  });

  it('keep the cause, and none where none was given', () => {
    const cause = new Error('below');
    expect(new EventsError('closed', 'm', { cause }).cause).toBe(cause);
    expect('cause' in new EventsError('closed', 'm')).toBe(false);
  });

  it('list the first issues of a validation, and say how many more there are', () => {
    const issues = ['/a', '/b', '', '/c', '/d'].map((path) => ({ path, message: `bad${path}` }));
    const error = new EventValidationError('user.created', issues);
    expect(error.message).toBe(
      "'user.created' does not fit its contract: /a: bad/a; /b: bad/b; bad (and 2 more)",
    );
    expect(error.issues).toEqual(issues);
  });

  it('refuse a delay that is none', () => {
    for (const delay of [-1, NaN, Infinity])
      expect(() => new RetryAfterError(delay)).toThrow(/milliseconds >= 0/);
    expect(new RetryAfterError(0).delay).toBe(0);
  });
});
