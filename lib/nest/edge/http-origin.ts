import type { IncomingHttpHeaders } from 'node:http';
import { readOrigin, type Correlation } from '../../middleware';

/** All routes, in the spelling that Nest 11 and later take as such without a warning. */
export const EVERY_ROUTE = '/{*path}';

/** Nest middleware by which what is emitted for an HTTP request inherits its correlation id and trace. */
export const httpOrigin =
  (correlation: Correlation) =>
  ({ headers }: { headers: IncomingHttpHeaders }, _response: unknown, next: () => void): void =>
    correlation.enter(
      readOrigin((key) => headers[key]),
      () => next(),
    );
