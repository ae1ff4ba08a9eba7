import { readFileSync } from 'node:fs';
import path from 'node:path';
import type * as errors from '../../lib/core/errors';
import { EVENTS_ERROR_CODES } from '../../lib/core/errors';
import { DEAD_LETTER_REASONS } from '../../lib/core/settlement';

type Errors = typeof errors;

const page = readFileSync(path.join(__dirname, '../../docs/errors.md'), 'utf8');
const [codes = '', reasons = ''] = page.split(/^## Dead-letter reasons$/m);
const entriesOf = (part: string): string[] => [...part.matchAll(/^### `(\w+)`$/gm)].map(([, name]) => name!);

describe('docs/errors.md', () => {
  it('has one entry for each error code, in the order of the list', () => {
    expect(entriesOf(codes)).toEqual([...EVENTS_ERROR_CODES]);
  });

  it('has one entry for each reason of a dead letter, in the order of the list', () => {
    expect(entriesOf(reasons)).toEqual([...DEAD_LETTER_REASONS]);
  });

  it('says of each error whether it is retryable', () => {
    const silent = codes
      .split(/^(?=###? )/m)
      .filter((entry) => entry.startsWith('### ') && !/\b(?:Not r|R)etryable\b|Not\s+retryable/.test(entry));

    expect(silent).toEqual([]);
  });
});

describe('errors of two installed copies', () => {
  const load = (): Errors => {
    let copy: Errors | undefined;
    jest.isolateModules(() => {
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      copy = require('../../lib/core/errors') as Errors;
    });
    return copy!;
  };
  const [ours, theirs] = [load(), load()];

  it('are two classes, or the next tests prove nothing', () => {
    expect(ours.EventsError).not.toBe(theirs.EventsError);
    expect(Object.getPrototypeOf(new ours.EventsError('closed', 'x'))).not.toBe(theirs.EventsError.prototype);
  });

  it('are EventsErrors to each other, subclasses included', () => {
    const errors = [
      new theirs.EventsError('closed', 'x'),
      new theirs.EventsConfigurationError('url', 'x'),
      new theirs.EventSerializationError('/a', 'x'),
      new theirs.EventValidationError('a.b', []),
      new theirs.NonRetryableError('x'),
      new theirs.RetryAfterError(1),
    ];

    for (const error of errors) expect(error instanceof ours.EventsError).toBe(true);
  });

  it('keep their code, fields and name', () => {
    const error: Error = new theirs.NonRetryableError('gone', { cause: 'why' });

    expect(error instanceof ours.EventsError && error.code).toBe('non_retryable');
    expect(error).toMatchObject({
      name: 'NonRetryableError',
      retryable: false,
      reason: 'non_retryable',
      cause: 'why',
    });
  });

  it('leave a subclass to tell only its own copy', () => {
    expect(new ours.NonRetryableError('x') instanceof ours.NonRetryableError).toBe(true);
    expect(new ours.EventsError('closed', 'x') instanceof ours.NonRetryableError).toBe(false);
  });

  it.each([new Error('x'), { code: 'closed' }, null, undefined, 'closed'])(
    'are not mistaken for %p',
    (value) => {
      expect((value as unknown) instanceof ours.EventsError).toBe(false);
    },
  );
});
