import type { ConsumerInfo } from 'nats';
import type { EventsLogger } from '../../core/logger';
import { eventNameOf, eventSubject } from '../../core/names';
import type { SubscriptionSpec } from '../../core/transport';
import { filtersOf } from './consumer-config';

/** The durable is never narrowed without being told; whoever removed an event from a handler has to know. */
export function tellOfForeignFilters(
  spec: SubscriptionSpec,
  { config }: ConsumerInfo,
  { clusterId, logger }: { clusterId: string; logger: EventsLogger },
): void {
  const foreign = filtersOf(config)
    .map((filter) => eventNameOf(clusterId, filter))
    .filter((name) => !spec.patterns.includes(name));
  if (foreign.length === 0) return;
  logger.warn(
    `durable '${spec.durable}' also takes ${foreign.map((name) => `'${name}'`).join(', ')}, which '${spec.handler}' of ` +
      `this version does not handle: such events go to instances that do, and become dead letters (no_handler) after ten ` +
      `minutes. If no version handles them any more, say so in the handler's options: ` +
      `\`removed: [${foreign.map((name) => `'${name}'`).join(', ')}]\`, or narrow it by hand: ` +
      `nats consumer edit ${clusterId} ${spec.durable} ${spec.patterns.map((pattern) => `--filter ${eventSubject(clusterId, pattern)}`).join(' ')}`,
  );
}
