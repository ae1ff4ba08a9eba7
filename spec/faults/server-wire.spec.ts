import { eventually, Ledger } from '../support/fault-ledger';
import { fault } from '../support/fault-scene';

fault('F30 a slow ephemeral subscriber keeps little, and counts what it drops', async (scene) => {
  const service = await scene.service('app', { delivery: 'ephemeral' });
  const emitter = await scene.service('emitter', { delivery: 'ephemeral' });
  const ledger = new Ledger();
  let goOn = (): void => {};
  const gate = new Promise<void>((resolve) => (goOn = resolve));
  await service.subscribe(
    'thing',
    ledger.handler(() => gate),
    { name: 'slow', concurrency: 10 },
  );
  const [kept, total] = [1000 + 10, 20_000];
  const body = 'x'.repeat(1000);
  for (let n = 0; n < total; n += 500) {
    await Promise.all(Array.from({ length: 500 }, () => emitter.emit('thing', { body })));
  }

  const dropped = total - kept;
  const problem = await eventually('it is told', () =>
    service.status.problems.find((each) => each.includes(`lost ${dropped} events`)),
  );
  expect(problem).toContain('app__slow');
  expect(scene.log.find('warn', /'slow' is too slow.*further ones are lost/)).toHaveLength(1);

  goOn();
  await eventually('what was kept is handled', () => ledger.handled.size === kept);
  await emitter.emit('thing', {}, { id: 'afterwards' });
  await eventually('events are handled again', () => ledger.handled.has('afterwards'));
  expect(ledger.handled.size).toBe(kept + 1);
  expect(service.status.problems).toEqual([]);
  expect(scene.log.find('warn', new RegExp(`lost ${dropped} events`))).toHaveLength(1);
});

fault('F30 what waits for another attempt is bounded too', async (scene) => {
  const service = await scene.service('app', { delivery: 'ephemeral', retry: { delay: 60_000 } });
  const failing = (): void => {
    throw new Error('always');
  };
  await service.subscribe('thing', failing, { name: 'h', concurrency: 10 });
  for (let n = 0; n < 30; n++)
    await service.emitMany(Array.from({ length: 100 }, () => ({ name: 'thing', data: {} })));
  await eventually('it is told', () =>
    service.status.problems.find((each) => each.includes('lost 2000 events')),
  );
});

fault('F31 the answer of a plain subscriber is no acknowledgement', async (scene) => {
  const service = await scene.service('app', { publishTimeout: 4000 });
  const raw = await scene.raw();
  const answers = [
    '',
    'ok',
    'null',
    '[]',
    '42',
    '{}',
    '{"error":{"code":500}}',
    '{"stream":"other","seq":1}',
  ];
  const inboxes: string[] = [];
  raw.subscribe(`${scene.clusterId}.>`, {
    callback: (_error, msg) => {
      inboxes.push(msg.reply ?? '');
      for (const answer of answers) msg.respond(Buffer.from(answer));
    },
  });
  await raw.flush();
  const ledger = new Ledger();
  for (let n = 0; n < 20; n++) await ledger.emit(service, 'thing', `e${n}`);
  expect([...ledger.acknowledged.values()].map(({ stream, sequence }) => [stream, sequence])).toEqual(
    Array.from({ length: 20 }, (_, n) => [scene.clusterId, n + 1]),
  );
  await eventually('it has answered each', () => inboxes.length >= 20);

  // With nobody else to acknowledge, it answers alone.
  const { streams } = await scene.jsm();
  await streams.delete(scene.clusterId);
  await ledger.emit(service, 'thing', 'alone');
  expect(ledger.refused.get('alone')).toMatchObject({ code: 'publish_unconfirmed', retryable: true });
});

fault('F32 the same id again is reported, and only within one event name', async (scene) => {
  const service = await scene.service('app');
  const first = await service.emit('thing', { body: 1 }, { id: 'same' });
  const second = await service.emit('thing', { body: 2 }, { id: 'same' });
  const third = await service.emit('other', { body: 3 }, { id: 'same' });
  expect(first).toMatchObject({ id: 'same', duplicate: false, sequence: 1 });
  expect(second).toMatchObject({ id: 'same', duplicate: true, sequence: 1 });
  expect(third).toMatchObject({ id: 'same', duplicate: false, sequence: 2 });

  const another = await scene.service('another');
  expect(await another.emit('thing', { body: 4 }, { id: 'same' })).toMatchObject({ duplicate: false });
  const seen: unknown[] = [];
  await service.subscribe('>', (data) => void seen.push(data), { name: 'h', startFrom: 'first' });
  await eventually('all are handled', () => seen.length === 3);
  expect(seen).toEqual([{ body: 1 }, { body: 3 }, { body: 4 }]);
});
