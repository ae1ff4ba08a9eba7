import { eventually, Ledger } from '../support/fault-ledger';
import { Relay } from '../support/fault-relay';
import { fault } from '../support/fault-scene';

const MOMENTS = [
  ['durable', 'its consumer is made', '$JS.API.CONSUMER.'],
  ['durable', 'its permissions are asked for', 'PUB $JS.ACK.'],
  ['ephemeral', 'the server is told of it', 'SUB f-'],
] as const;

for (const [delivery, moment, sent] of MOMENTS) {
  fault(
    `F05 a connection cut while a handler is bound (${delivery}) and ${moment}`,
    async (scene, server) => {
      const relay = await Relay.to(server.port);
      scene.atEnd(() => relay.stop());
      const ledger = new Ledger();
      const service = await scene.service('app', { url: relay.url, delivery });
      relay.cutsAt = (bytes) => relay.cuts === 0 && bytes.includes(sent);
      await service.subscribe('thing', ledger.handler(), { name: 'h' });
      expect(relay.cuts).toBe(1);

      await eventually('it is connected again', () => service.status.connected);
      await ledger.emit(service, 'thing', 'e');
      await eventually('it is handled', () => ledger.handled.has('e'));
      expect(service.status.problems).toEqual([]);
    },
  );
}

fault(
  'F06 a failed ephemeral subscription takes no event from the others of its group',
  async (scene, server) => {
    const [sound, zombie] = [new Ledger(), new Ledger()];
    const failing = await scene.service('app', { delivery: 'ephemeral', connectTimeout: 1000 });
    const other = await scene.service('app', { delivery: 'ephemeral' });
    await other.subscribe('thing', sound.handler(), { name: 'h' });

    server.pause();
    await expect(failing.subscribe('thing', zombie.handler(), { name: 'h' })).rejects.toThrow(
      'did not answer within 1000 ms',
    );
    server.resume();
    // The server has read everything that was said before.
    await eventually('it answers', async () => {
      await sound.emit(failing, 'ping', 'ping');
      return sound.acknowledged.delete('ping');
    });

    for (let n = 0; n < 50; n++) await sound.emit(failing, 'thing', `e${n}`);
    await eventually('all are handled', () => sound.lost().length === 0);
    expect(zombie.runs.size).toBe(0);
    // It may be tried again.
    await failing.subscribe('thing', zombie.handler(), { name: 'h' });
  },
);
