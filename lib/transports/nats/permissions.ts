import { EventsError } from '../../core/errors';
import { until } from './api';
import type { NatsLink } from './connection';

/**
 * Sends to each subject what the server answers with an error and otherwise ignores, and looks for refusals.
 * @param timeout milliseconds
 * @throws EventsError `permission_denied`, `jetstream_unavailable`
 */
export async function assertPublishPermitted(
  link: NatsLink,
  subjects: readonly string[],
  timeout: number,
): Promise<void> {
  const denied = await until(timeout, `publishing to '${subjects.join("' and '")}'`, () =>
    link.deniedPublish(subjects, timeout),
  );
  if (denied === undefined) return;
  throw new EventsError(
    'permission_denied',
    `the server does not permit this service to publish to '${denied}', which it needs to consume events`,
  );
}
