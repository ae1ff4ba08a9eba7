import { EventsError } from '../../core/errors';
import { until } from './api';
import { ackPlaceOf, ackProbe, version2Prefix } from './ack-subject';
import type { NatsLink } from './connection';

/**
 * Sends to each subject what the server answers with an error and otherwise ignores, and looks for refusals.
 * @param timeout milliseconds
 * @returns `false` if acknowledging is permitted, but in another form than the one that was asked for
 * @throws EventsError `permission_denied`, `jetstream_unavailable`
 */
export async function assertPublishPermitted(
  link: NatsLink,
  subjects: readonly string[],
  timeout: number,
): Promise<boolean> {
  const denied = await until(timeout, `publishing to '${subjects.join("' and '")}'`, () =>
    link.deniedPublish(subjects, timeout),
  );
  if (denied === undefined) return true;
  if (await settlesOtherwise(link, denied, timeout)) return false;
  throw new EventsError(
    'permission_denied',
    `the server does not permit this service to publish to '${denied}', which it needs to consume events`,
  );
}

// The client does not know it yet.
const domainOf = ({ nc }: NatsLink): string | undefined =>
  (nc.info as { domain?: string } | undefined)?.domain;

/** Stands for the hash of the account, which only deliveries tell. */
const ANY_HASH = 'permitted';

/**
 * Whether a service that may not settle in the form of version 1 may do so in that of version 2. As long as nothing was delivered, nobody
 * knows which one the server uses; the first delivery shows it, see `PullConsumer.settlesAt`.
 */
async function settlesOtherwise(link: NatsLink, denied: string, timeout: number): Promise<boolean> {
  const place = ackPlaceOf(denied);
  if (place === undefined || link.ackPrefix !== undefined) return false;
  const [, , ...consumer] = place.split('.');
  const other = ackProbe(version2Prefix(domainOf(link) ?? '_', ANY_HASH) + consumer.join('.'));
  const permitted = await until(timeout, `publishing to '${other}'`, () =>
    link.permitsPublish(other, timeout),
  );
  for (const subject of permitted ? [denied] : [other]) link.refusals.lift('publish', subject);
  return permitted;
}
