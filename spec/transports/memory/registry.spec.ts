import type * as Memory from '../../../lib/transports/memory';
import {
  createMemoryTransport,
  MemoryBroker,
  type MemoryTransportOptions,
} from '../../../lib/transports/memory';
import { Handler, RecordedLog, Setup } from './fixture';

const options = (name?: string): MemoryTransportOptions => ({
  clusterId: 'shop',
  name,
  delivery: 'durable',
  logger: new RecordedLog(),
});

describe('brokers of memory://<name>', () => {
  let setup: Setup;
  beforeEach(() => (setup = new Setup()));
  afterEach(() => setup.end());

  it('are shared by name from connect until the last one closes', async () => {
    const [one, other, elsewhere] = [options('a'), options('a'), options('b')].map(createMemoryTransport);
    for (const transport of [one, other, elsewhere]) await transport?.connect();
    await one?.publish(setup.message('a'));
    await one?.close();
    expect(other?.broker.events('shop')).toHaveLength(1);
    expect(elsewhere?.broker.events('shop')).toHaveLength(0);
    await other?.close();
    await elsewhere?.close();

    const next = createMemoryTransport(options('a'));
    await next.connect();
    expect(next.broker.events('shop')).toHaveLength(0);
    await next.close();
    await next.close();
  });

  it('are private without a name', async () => {
    const [one, other] = [createMemoryTransport(options()), createMemoryTransport(options())];
    await one.connect();
    await other.connect();
    await one.publish(setup.message('a'));
    expect(other.broker.events('shop')).toHaveLength(0);
    await one.close();
    expect(one.broker.events('shop')).toHaveLength(1);
    await other.close();
  });

  it('are found by another copy of the package in the process', async () => {
    const copy = await new Promise<typeof Memory>((resolve) => {
      jest.isolateModules(() => resolve(jest.requireActual<typeof Memory>('../../../lib/transports/memory')));
    });
    expect(copy.MemoryBroker).not.toBe(MemoryBroker);
    const [mine, theirs] = [createMemoryTransport(options('a')), copy.createMemoryTransport(options('a'))];
    await mine.connect();
    await theirs.connect();
    const handler = await Handler.on(theirs);
    await mine.publish(setup.message('a'));
    expect(await handler.received(1)).toEqual(['a']);
    await mine.close();
    await theirs.close();
  });
});
