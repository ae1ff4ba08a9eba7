import { DiscardPolicy, RetentionPolicy, StorageType } from 'nats';
import { NonRetryableError } from '../../lib';
import { eventually, Ledger } from '../support/fault-ledger';
import { fault } from '../support/fault-scene';

const STREAM_FULL = 10077;

const poison = (): void => {
  throw new NonRetryableError('poison');
};

fault('F16 a missing dead-letter stream: the event stays, it is loud, and made again', async (scene) => {
  const service = await scene.service('app', { publishTimeout: 1000 });
  const ledger = new Ledger();
  await service.subscribe('thing', ledger.handler(poison), { name: 'h' });
  const { streams } = await scene.jsm();
  await streams.delete(`${scene.clusterId}-dlq`);
  await ledger.emit(service, 'thing', 'e');

  const told = await eventually('it is loud', () => scene.log.find('error', /could not be dead-lettered/)[0]);
  expect(told).toMatch(/'thing'.*stays in the stream/);
  expect(service.status.problems.join()).toMatch(/dead letter could not be written/);
  expect((await scene.consumer('app__h')).num_ack_pending).toBe(1);

  await scene.settled('app__h');
  expect(await scene.deadLetters()).toEqual([expect.objectContaining({ id: 'e', reason: 'non_retryable' })]);
  expect(service.status.problems.join()).not.toMatch(/could not be written/);
});

fault('F16 a full dead-letter stream: the event stays until there is room', async (scene) => {
  const service = await scene.service('app', { stream: { deadLetter: { maxMessages: 1 } } });
  const ledger = new Ledger();
  await service.subscribe('thing', ledger.handler(poison), { name: 'h' });
  await ledger.emit(service, 'thing', 'first');
  await scene.settled('app__h');
  await ledger.emit(service, 'thing', 'second');

  await eventually('it is loud', () => scene.log.find('error', /could not be dead-lettered/)[0]);
  expect(service.status.problems.join()).toMatch(/dead letter could not be written.*10077/);
  const { streams } = await scene.jsm();
  expect((await scene.consumer('app__h')).num_ack_pending).toBe(1);
  expect((await scene.deadLetters()).map(({ id }) => id)).toEqual(['first']);

  await streams.purge(`${scene.clusterId}-dlq`);
  await scene.settled('app__h');
  expect((await scene.deadLetters()).map(({ id }) => id)).toEqual(['second']);
  expect(service.status.problems.join()).not.toMatch(/could not be written/);
});

fault('F19 a full stream refuses at once, with the code of the server', async (scene) => {
  const service = await scene.service('app', { stream: { maxMessages: 3 } });
  const ledger = new Ledger();
  for (const id of ['a', 'b', 'c']) await ledger.emit(service, 'thing', id);
  const since = Date.now();
  await ledger.emit(service, 'thing', 'd');
  expect(Date.now() - since).toBeLessThan(2000); // of the 10 s it could take
  expect(ledger.refused.get('d')).toMatchObject({
    code: 'publish_rejected',
    serverCode: STREAM_FULL,
    retryable: false,
  });

  await service.subscribe('thing', ledger.handler(), { name: 'h', startFrom: 'first' });
  await eventually('all that was acknowledged is handled', () => ledger.handled.size === 3);
  expect(ledger.lost()).toEqual([]);
});

fault('F20 a stream that drops is not made, and none is narrowed', async (scene) => {
  const { streams } = await scene.jsm();
  const dropping = { stream: { discard: 'old' as 'new' } };
  await expect(scene.service('app', dropping)).rejects.toMatchObject({ code: 'invalid_configuration' });
  await expect(streams.info(scene.clusterId)).rejects.toThrow();

  await scene.service('app', { stream: { maxMessages: 1000, maxAge: 3_600_000 } });
  const names = [scene.clusterId, `${scene.clusterId}-dlq`, `${scene.clusterId}-retry`];
  for (const name of names) {
    const { config } = await streams.info(name);
    expect(config).toMatchObject({ discard: DiscardPolicy.New, storage: StorageType.File });
  }
  expect((await streams.info(scene.clusterId)).config.retention).toBe(RetentionPolicy.Limits);

  const narrower = { maxMessages: 3, maxAge: 60_000, duplicateWindow: 30_000 };
  const service = await scene.service('other', { stream: { manage: 'update', ...narrower } });
  expect((await streams.info(scene.clusterId)).config).toMatchObject({
    max_msgs: 1000,
    max_age: 3_600_000e6,
  });
  expect(scene.log.find('warn', /maxMessages is 1000, here 3.*never narrowed/)).toHaveLength(1);

  const ledger = new Ledger();
  for (let n = 1; n <= 10; n++) await ledger.emit(service, 'thing', `e${n}`);
  await service.subscribe('thing', ledger.handler(), { name: 'h', startFrom: 'first' });
  await eventually('all 10 are handled', () => ledger.handled.size === 10);
});
