import type { ConsumerInfo } from 'nats';
import { emptyHeaders } from '../../../lib/core/headers';
import { durableName, retrySubject } from '../../../lib/core/names';
import type { Settlement } from '../../../lib/core/settlement';
import type { Delivery, SubscriptionSpec } from '../../../lib/core/transport';
import { HandlerSlots } from '../../../lib/transports/nats/handler-slots';
import { HandlerSource } from '../../../lib/transports/nats/handler-source';
import type { PullSource } from '../../../lib/transports/nats/pull-source';
import { RetrySource, type RetryParts } from '../../../lib/transports/nats/retry-source';

const DURABLE = durableName('app', 'h');
const spec: SubscriptionSpec = {
  app: 'app',
  handler: 'h',
  durable: DURABLE,
  patterns: ['user.created'],
  delivery: 'durable',
  broadcast: false,
  startFrom: 'new',
  concurrency: 1,
  maxDeliveries: 11,
};
const info = {
  name: DURABLE,
  config: {},
  ack_floor: { stream_seq: 1, consumer_seq: 1 },
  delivered: { stream_seq: 1, consumer_seq: 1 },
} as unknown as ConsumerInfo;
const never = (): Promise<Settlement> => Promise.reject(new Error('no handler may run'));

// Nothing but the handler's own events would use the parts.
const handler = (): PullSource => new HandlerSource('c', spec, info, never, new HandlerSlots(1), {} as never);
const redriven = (): PullSource =>
  new RetrySource({ clusterId: 'c', handlers: new Map(), concurrency: 10 } as unknown as RetryParts, info);

const HOUR = 60 * 60 * 1000;

/** Of a name that nobody here handles, stored a month ago. */
const delivery = (attempt: number): Delivery & { durable: string } => ({
  durable: DURABLE,
  subject: retrySubject('c', DURABLE),
  name: 'user.deleted',
  headers: emptyHeaders(),
  body: new Uint8Array(),
  attempt,
  storedAt: Date.now() - 30 * 24 * HOUR,
  fallbackId: 'c-7',
});

describe.each<[string, () => PullSource]>([
  ['an event that only another version of the handler takes', handler],
  ['a redriven event whose handler is not here', redriven],
])('%s', (_title, source) => {
  const consume = (from: PullSource, attempt: number): PromiseLike<Settlement> =>
    from.consume(delivery(attempt), { sequence: 7, timestamp: '1', leave: undefined });
  afterEach(() => jest.restoreAllMocks());

  it('is handed back on its first delivery, however old it is and however long this instance has run', async () => {
    const made = source();
    const later = Date.now() + HOUR;
    jest.spyOn(Date, 'now').mockReturnValue(later);
    expect(await consume(made, 1)).toMatchObject({ kind: 'retry' });
  });
});

it.each<[string, () => PullSource]>([
  ['an event that only another version of the handler takes', handler],
  ['a redriven event whose handler is not here', redriven],
])('F75 %s is given up by what this instance did, whatever the delivery count', async (_title, source) => {
  const now = jest.spyOn(performance, 'now').mockReturnValue(0);
  const made = source();
  const unhandled = { kind: 'dead-letter', failure: { reason: 'no_handler' } };
  const consume = (attempt: number): PromiseLike<Settlement> =>
    made.consume(delivery(attempt), { sequence: 7, timestamp: '1', leave: undefined });
  for (let n = 1; n <= 30; n++) expect(await consume(1000 * n)).toMatchObject({ kind: 'retry' });
  expect(await consume(1)).toMatchObject({ kind: 'retry' });
  now.mockReturnValue(HOUR);
  expect(await consume(1)).toMatchObject(unhandled);
  now.mockRestore();
});
