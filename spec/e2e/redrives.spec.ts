import { NonRetryableError, type EventHandler, type EventService } from '@venta/events';
import type { Collector } from '../../lib/testing/conformance/collector';
import { Gate } from '../../lib/testing/conformance/gate';
import { onNats, type Received } from '../support/on-nats';

const nats = onNats();

/** Fails for good until it is mended, and is slow from then on. */
class Stuck {
  readonly gate = new Gate();
  mended = false;
  /** Events of this handler that ran at once, at most. */
  most = 0;
  #running = 0;

  readonly handle: EventHandler = async () => {
    if (!this.mended) throw new NonRetryableError('broken');
    this.most = Math.max(this.most, ++this.#running);
    await this.gate.opened;
    this.#running--;
  };
}

/** Two handlers, one of them with `count` dead letters and the other with one, both redriven in this order. */
async function redriven(
  service: EventService,
  stuck: Stuck,
  count: number,
): Promise<{ held: Collector<Received>; free: Collector<Received> }> {
  const held = await nats.collect(service, 'job.stuck', stuck.handle, { name: 'stuck', concurrency: 1 });
  let mended = false;
  const free = await nats.collect(
    service,
    'job.free',
    () => {
      if (!mended) throw new NonRetryableError('broken');
    },
    { name: 'free' },
  );
  await service.emitMany(Array.from({ length: count }, (_, data) => ({ name: 'job.stuck', data })));
  await service.emit('job.free', 'free');
  await nats.deadLetters(count + 1);
  stuck.mended = true;
  mended = true;
  for (const collector of [held, free]) collector.items.length = 0;
  const sent = await service.deadLetters.redrive({ subscription: 'stuck' });
  expect(sent.redriven).toHaveLength(count);
  await held.atLeast(1);
  await service.deadLetters.redrive({ subscription: 'free' });
  return { held, free };
}

describe('redriven events', () => {
  it('of a handler that is busy do not keep those of another one waiting', async () => {
    const stuck = new Stuck();
    // More than are taken at once of all that is redriven to a service.
    const { held, free } = await redriven(await nats.service(), stuck, 25);
    await free.atLeast(1);
    expect(held.items).toHaveLength(1);
    stuck.gate.open();
  });

  it('keep to the concurrency of their handler, together with its other events', async () => {
    const stuck = new Stuck();
    const service = await nats.service();
    const { held, free } = await redriven(service, stuck, 5);
    await service.emit('job.stuck', 'new');
    // What was redriven before has been delivered by then.
    await free.atLeast(1);
    expect(stuck.most).toBe(1);
    stuck.gate.open();
    await held.atLeast(6);
    expect(stuck.most).toBe(1);
    expect(held.items.map(({ data }) => data).sort()).toEqual([0, 1, 2, 3, 4, 'new']);
    await nats.settled('shop__stuck');
  });
});
