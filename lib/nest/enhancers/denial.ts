import { HttpException, type CanActivate } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { EventValidationError, NonRetryableError } from '../../core/errors';
import type { GuardDenied } from '../options/options';

/** What Nest's microservices say when a guard denies. */
const FORBIDDEN = 'Forbidden resource';

/** An enhancer that refused an event, and the error it did it with. */
export interface Refusal {
  readonly by: 'guard' | 'pipe';
  readonly enhancer: object;
  readonly error: unknown;
}

/** The exception of a guard that answers `false`, for exception filters: the one of a Nest microservice. */
export const forbidden = (): RpcException => new RpcException(FORBIDDEN);

/**
 * What becomes of a refusal that no exception filter changed. Trying again helps against neither a denial nor bad data;
 * anything else that a guard or pipe throws (a lookup that failed) stays an ordinary failure.
 */
export function failureOf({ by, enhancer, error }: Refusal, eventName: string, denied: GuardDenied): unknown {
  const name = (enhancer as CanActivate).constructor?.name ?? by;
  if (by === 'guard') {
    if (denied === 'retry' || !isDenial(error)) return error;
    return new NonRetryableError(`${name} denied '${eventName}': ${messageOf(error)}`, { cause: error });
  }
  if (!isBadInput(error)) return error;
  const cause = new EventValidationError(
    eventName,
    issuesOf(error).map((message) => ({ path: '', message })),
    { cause: error },
  );
  return new NonRetryableError(cause.message, { reason: 'validation', cause });
}

const isDenial = (error: unknown): boolean =>
  error instanceof RpcException || (error instanceof HttpException && [401, 403].includes(error.getStatus()));

const isBadInput = (error: unknown): boolean =>
  error instanceof RpcException ||
  (error instanceof HttpException && error.getStatus() >= 400 && error.getStatus() < 500);

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A ValidationPipe lists what is wrong in its exception. */
function issuesOf(error: unknown): string[] {
  const response: unknown =
    error instanceof HttpException
      ? error.getResponse()
      : error instanceof RpcException
        ? error.getError()
        : undefined;
  const message =
    typeof response === 'object' && response !== null
      ? (response as { message?: unknown }).message
      : undefined;
  return Array.isArray(message) ? message.map(String) : [messageOf(error)];
}
