import { nanos } from 'nats';

const SETTLE_TIMEOUT_MS = 10_000;
const DAY_MS = 24 * 60 * 60 * 1000;

/** A stream and a durable as EventsModule makes them. */
export const streamConfig = (name) => ({
  name,
  subjects: [`${name}.>`],
  retention: 'limits',
  storage: 'file',
  discard: 'new',
  max_age: nanos(7 * DAY_MS),
  duplicate_window: nanos(2 * 60 * 1000),
});
export const consumerConfig = (durable_name, filter_subject) => ({
  durable_name,
  filter_subject,
  ack_policy: 'explicit',
  ack_wait: nanos(30_000),
  max_deliver: -1,
  max_ack_pending: 50_000,
});

/**
 * Waits until the server has all acknowledgements.
 * @returns {Promise<string | undefined>} what is not as it should be in any consumer of the stream
 */
export async function leftovers(jsm, stream) {
  const deadline = Date.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const consumers = await jsm.consumers.list(stream).next();
    const redelivered = consumers.find(({ num_redelivered }) => num_redelivered > 0);
    if (redelivered)
      return `${redelivered.num_redelivered} events were delivered again to ${redelivered.name}`;
    const open = consumers.find(({ num_ack_pending, num_pending }) => num_ack_pending + num_pending > 0);
    if (open === undefined) return undefined;
    if (Date.now() > deadline) {
      return `${open.name} has ${open.num_ack_pending} events unacknowledged and ${open.num_pending} undelivered`;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
