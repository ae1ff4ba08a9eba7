import type { EventsErrorCode } from './errors';

const STATUS: Readonly<Record<EventsErrorCode, number>> = {
  invalid_configuration: 400,
  connection_failed: 503,
  unsupported_server: 500,
  jetstream_unavailable: 503,
  jetstream_refused: 502,
  server_limit: 507,
  stream_mismatch: 500,
  consumer_mismatch: 500,
  invalid_pattern: 400,
  duplicate_handler: 500,
  invalid_event_name: 400,
  invalid_header: 400,
  unknown_event: 400,
  validation_failed: 422,
  unserializable: 422,
  payload_too_large: 413,
  no_stream: 503,
  publish_rejected: 502,
  publish_unconfirmed: 504,
  publish_overloaded: 503,
  batch_unsupported: 501,
  permission_denied: 502,
  disconnected: 503,
  closed: 503,
  request_unsupported: 501,
  undecodable: 422,
  handler_timeout: 504,
  non_retryable: 500,
  retry_after: 503,
  no_dead_letter: 404,
  no_handler: 409,
  redrive_limit: 409,
};

/** The HTTP status that fits an error of this code; 500 for one that only another version of this package knows. */
export const httpStatusOf = (code: EventsErrorCode): number =>
  Object.hasOwn(STATUS, code) ? STATUS[code] : 500;
