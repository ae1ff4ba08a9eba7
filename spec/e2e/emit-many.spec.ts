import type { EventToEmit } from '@venta/events';
import { Relay } from '../support/fault-relay';
import { onNats, type OnNats } from '../support/on-nats';
import { storedMessages } from '../support/stored-messages';

const events = (count: number, prefix = 'e'): EventToEmit[] =>
  Array.from({ length: count }, (_, number) => ({
    name: 'user.created',
    data: { number, at: new Date(number) },
    options: { id: `${prefix}${number}` },
  }));

const atomic = (nats: OnNats): boolean => {
  const [major = 0, minor = 0] = nats.server.version.split('.').map(Number);
  return major > 2 || minor >= 12;
};

describe('emitMany on JetStream', () => {
  const nats = onNats();

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
    if (!atomic(nats)) {
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
    if (!atomic(nats)) return;
    const service = await nats.service();
    await service.emit('user.created', 1, { id: 'e3' });
    await expect(service.emitMany(events(5), { atomic: true })).rejects.toMatchObject({
      code: 'publish_rejected',
    });
    expect(await nats.stored()).toHaveLength(1);
  });

  it('stores a batch once when the answer to the first try is lost', async () => {
    if (!atomic(nats)) return;
    const relay = await Relay.to(nats.server.port);
    const service = await nats.service({ url: relay.url });
    await service.emit('user.created', 0);
    relay.rewrites = (received) => {
      if (relay.cuts > 0 || !received.includes('"batch":')) return received;
      relay.cuts++;
      relay.cut();
      return '';
    };
    const stored = service.emitMany(events(5), { atomic: true });
    expect(await stored).toHaveLength(5);
    expect(relay.cuts).toBe(1);
    expect(await nats.stored()).toHaveLength(6);
    await service.drain();
    await relay.stop();
  });

  it('does not take a batch for stored of which one event was stored before, when its first try is lost', async () => {
    if (!atomic(nats)) return;
    const relay = await Relay.to(nats.server.port);
    const service = await nats.service({ url: relay.url });
    await service.emit('user.created', 1, { id: 'e1' });
    relay.cutsAt = (sent) => relay.cuts === 0 && sent.includes('Nats-Batch-Commit');
    const error = await service.emitMany(events(3), { atomic: true }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'publish_unconfirmed' });
    expect(relay.cuts).toBe(1);
    expect((await nats.stored()).map(({ body }) => body.toString())).toEqual(['1']);
    await service.drain();
    await relay.stop();
  });

  it('says of a batch that was stored unconfirmed, emitted again, that it is, and where', async () => {
    if (!atomic(nats)) return;
    const service = await nats.service({ publishTimeout: 500 });
    await service.emit('user.created', 0);
    nats.server.pause();
    const first = service.emitMany(events(3), { atomic: true }).catch((reason: unknown) => reason);
    expect(await first).toMatchObject({ code: 'publish_unconfirmed' });
    nats.server.resume();
    expect(await service.emitMany(events(3), { atomic: true })).toMatchObject([
      { id: 'e0', duplicate: true, sequence: 2 },
      { id: 'e1', duplicate: true, sequence: 3 },
      { id: 'e2', duplicate: true, sequence: 4 },
    ]);
    expect(await nats.stored()).toHaveLength(4);
  });
});

describe('emits that nobody awaits', () => {
  const nats = onNats();

  it('are stored when the service is drained in the same turn', async () => {
    const service = await nats.service();
    await service.emit('user.created', 0);
    for (const number of [1, 2, 3]) service.emit('user.created', number).catch(() => undefined);
    await service.drain();
    expect((await nats.stored()).map(({ body }) => body.toString())).toEqual(['0', '1', '2', '3']);
  });
});

describe('a batch with an event that the server does not permit', () => {
  const account = { user: 'shop', pass: 'secret' };
  const nats = onNats({
    config: `authorization { users: [
      { user: shop, password: secret, permissions: { publish: { deny: ["*.user.deleted"] } } }
    ] }`,
  });

  it.each([1, 2])('is refused as not permitted, and nothing of it is stored: at place %d', async (place) => {
    if (!atomic(nats)) return;
    const service = await nats.service({ connection: account });
    const all = events(3).map((event, at) => (at === place ? { ...event, name: 'user.deleted' } : event));
    const error = await service.emitMany(all, { atomic: true }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'permission_denied' });
    expect(await storedMessages(await nats.client(account), nats.clusterId)).toEqual([]);
  });
});
