import type { EventToEmit } from '@venta/events';
import { onNats } from '../support/on-nats';

const nats = onNats();

const events = (count: number, prefix = 'e'): EventToEmit[] =>
  Array.from({ length: count }, (_, number) => ({
    name: 'user.created',
    data: { number, at: new Date(number) },
    options: { id: `${prefix}${number}` },
  }));

const atomic = (): boolean => {
  const [major = 0, minor = 0] = nats.server.version.split('.').map(Number);
  return major > 2 || minor >= 12;
};

describe('emitMany on JetStream', () => {
  it('stores thousands in their order, with a receipt for each', async () => {
    const service = await nats.service();
    const receipts = await service.emitMany(events(3000));
    expect(receipts.map(({ sequence }) => sequence)).toEqual(receipts.map((_, index) => index + 1));
    expect((await service.emitMany(events(10))).every(({ duplicate }) => duplicate)).toBe(true);
  });

  it('stores a batch together, where the server can, and says so where it cannot', async () => {
    const service = await nats.service();
    const received = await nats.collect(service, 'user.created');
    await service.emit('user.created', { number: -1, at: new Date() });
    const stored = service.emitMany(events(1000), { atomic: true });
    if (!atomic()) {
      await expect(stored).rejects.toMatchObject({ code: 'batch_unsupported' });
      expect(await nats.stored()).toHaveLength(1);
      return;
    }
    expect((await stored).map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 1000 }, (_, index) => index + 2),
    );
    const all = await received.atLeast(1001);
    expect(all[1]?.data).toEqual({ number: 0, at: new Date(0) });
    expect(all[1]?.context.headers).toEqual({});
    await expect(service.emitMany(events(1001, 'm'), { atomic: true })).rejects.toMatchObject({
      code: 'batch_unsupported',
    });
  });

  it('stores nothing of a batch of which one event is stored already', async () => {
    if (!atomic()) return;
    const service = await nats.service();
    await service.emit('user.created', 1, { id: 'e3' });
    await expect(service.emitMany(events(5), { atomic: true })).rejects.toMatchObject({
      code: 'publish_rejected',
    });
    expect(await nats.stored()).toHaveLength(1);
  });

  it('stores a batch once when the answer to the first try is lost', async () => {
    if (!atomic()) return;
    const service = await nats.service();
    await service.emit('user.created', 0);
    // Stalled, the server has the batch in its socket; it is sent again before it goes on, and both arrive.
    nats.server.pause();
    const stored = service.emitMany(events(5), { atomic: true });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    nats.server.resume();
    expect(await stored).toHaveLength(5);
    expect(await nats.stored()).toHaveLength(6);
  });
});
