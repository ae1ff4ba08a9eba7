import { EventsError, type EventToEmit } from '@venta/events';
import { fault } from '../support/fault-scene';
import { eventually } from '../support/fault-ledger';

const refused = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

const withJetStream = (users: string): string =>
  `accounts { A: { ${users} users: [{ user: a, password: a }] } }\nno_auth_user: a`;
const ON = withJetStream('jetstream: enabled,');
const OFF = withJetStream('');

fault(
  'F41 JetStream that is switched off is named by `problems` and by the emit of a service that only emits',
  async (scene, server) => {
    const service = await scene.service('app', { publishTimeout: 800 });
    await service.emit('thing', {});

    await server.reload(OFF);
    const since = Date.now();
    const error = await eventually('an emit finds nobody', async () => {
      const failure = await refused(service.emit('thing', {}));
      return failure instanceof EventsError && failure.code !== 'publish_unconfirmed' && failure;
    });
    expect(error).toMatchObject({ code: 'jetstream_unavailable', retryable: true });
    expect(error.message).toMatch(/JetStream is switched off/);
    await eventually('it is a problem', () =>
      /JetStream is switched off/.test(service.status.problems.join()),
    );
    expect(Date.now() - since).toBeLessThan(15_000);

    await server.reload(ON);
    await eventually(
      'an emit is stored',
      async () => !((await refused(service.emit('thing', {}))) instanceof Error),
    );
    await eventually('the problem is gone', () => service.status.problems.length === 0);
  },
  { config: ON },
);

fault('F42 a limit of consumers names the handler it stops', async (scene) => {
  const { streams } = await scene.jsm();
  await streams.add({ name: scene.clusterId, subjects: [`${scene.clusterId}.>`], max_consumers: 1 });
  const service = await scene.service('app');
  await service.subscribe('a.one', () => undefined, { name: 'one' });
  for (const broadcast of [false, true]) {
    const error = await refused(service.subscribe('a.two', () => undefined, { name: 'two', broadcast }));
    expect(error).toMatchObject({ name: 'EventsError', code: 'server_limit', serverCode: 10026 });
    expect((error as Error).message).toMatch(/handler 'two' on stream/);
  }
});

fault('F42 a consumer that the limits of the stream do not allow names the handler', async (scene) => {
  const { streams } = await scene.jsm();
  const limits = { consumer_limits: { max_ack_pending: 10 } };
  await streams.add({ name: scene.clusterId, subjects: [`${scene.clusterId}.>`], ...limits });
  const service = await scene.service('app');
  const error = await refused(service.subscribe('a', () => undefined, { name: 'h' }));
  expect(error).toMatchObject({ name: 'EventsError', code: 'server_limit', serverCode: 10121 });
  expect((error as Error).message).toMatch(/handler 'h'/);
});

fault('F42 deleted streams: every public call says which one is missing', async (scene) => {
  const service = await scene.service('app', { publishTimeout: 500 });
  const { streams } = await scene.jsm();
  const { clusterId } = scene;
  for (const name of [clusterId, `${clusterId}-dlq`, `${clusterId}-retry`]) await streams.delete(name);
  const calls: [string, () => Promise<unknown>][] = [
    [`'${clusterId}'`, () => service.emit('a', {})],
    [`'${clusterId}'`, () => service.subscribe('a', () => undefined, { name: 'h' })],
    [`'${clusterId}-dlq'`, () => service.deadLetters.list()],
    [`'${clusterId}-dlq'`, () => service.deadLetters.get('1')],
    [`'${clusterId}-dlq'`, () => service.deadLetters.count()],
    [`'${clusterId}-dlq'`, () => service.deadLetters.redrive('1')],
    [`'${clusterId}-dlq'`, () => service.deadLetters.redrive({})],
    [`'${clusterId}-dlq'`, () => service.deadLetters.discard('1')],
    [`'${clusterId}-dlq'`, () => service.deadLetters.discard({})],
  ];
  for (const [stream, call] of calls) {
    const error = await refused(call());
    expect(error).toMatchObject({ name: 'EventsError', code: 'no_stream', retryable: true });
    expect((error as Error).message).toContain(stream);
  }
  await service.drain();
});

fault('F42 after the end every public call says `closed`', async (scene) => {
  const service = await scene.service('app');
  await service.drain();
  await service.drain();
  const { deadLetters } = service;
  for (const call of [
    () => service.emit('a', {}),
    () => service.emitMany([{ name: 'a', data: {} }], { atomic: true }),
    () => service.subscribe('a', () => undefined),
    () => deadLetters.list(),
    () => deadLetters.get('1'),
    () => deadLetters.redrive('1'),
    () => deadLetters.redrive({}),
    () => deadLetters.discard('1'),
  ]) {
    expect(await refused(call())).toMatchObject({ name: 'EventsError', code: 'closed' });
  }
});

fault('F79 a stored batch is recognised on a busy subject', async (scene, server) => {
  if (/^2\.1[01]\./.test(server.version)) return;
  const service = await scene.service('app');
  const batch = (...ids: string[]): EventToEmit[] =>
    ids.map((id) => ({ name: 'thing', data: { id }, options: { id } }));
  const emit = (...ids: string[]): Promise<unknown> =>
    refused(service.emitMany(batch(...ids), { atomic: true }));

  const first = await emit('a', 'b', 'c');
  expect(first).toMatchObject([{ sequence: 1 }, { sequence: 2 }, { sequence: 3, duplicate: false }]);
  for (let n = 0; n < 20; n++) await service.emit('thing', { n });
  expect(await emit('a', 'b', 'c')).toMatchObject([
    { sequence: 1, duplicate: true },
    { sequence: 2, duplicate: true },
    { sequence: 3, duplicate: true },
  ]);

  // Other batches of the same events are refused, and nothing of them is stored.
  for (const ids of [['c'], ['b', 'a'], ['a', 'b'], ['x', 'c'], ['c', 'x'], ['y', 'y']]) {
    const error = await emit(...ids);
    expect(error).toMatchObject({ code: 'publish_rejected', retryable: false });
    expect((error as Error).message).toMatch(/stored before/);
  }
  const { streams } = await scene.jsm();
  expect((await streams.info(scene.clusterId)).state.messages).toBe(23);

  // Of a stored batch whose last event is deleted, nothing but that is known.
  await streams.deleteMessage(scene.clusterId, 3);
  const error = await emit('a', 'b', 'c');
  expect(error).toMatchObject({ code: 'publish_rejected' });
  expect((error as Error).message).toMatch(/stored before/);
});
