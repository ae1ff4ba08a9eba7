import { createEventService, type EventService, type EventTransport } from '@venta/events';
import { createMemoryTransport } from '../../lib/transports/memory';
import { silentLogger } from '../support/silent-logger';

/** A transport of a user's, some of whose methods throw where they should reject. */
describe('a transport that throws', () => {
  let throwing: boolean;
  let service: EventService;

  const start = async (inFlight: number): Promise<void> => {
    const broker = createMemoryTransport({ clusterId: 'events', delivery: 'durable', logger: silentLogger });
    const refuse = (): void => {
      if (throwing) throw new Error('not now');
    };
    const transport: EventTransport = {
      connect: () => broker.connect(),
      publish: (message) => {
        refuse();
        return broker.publish(message);
      },
      subscribe: (spec, consumer) => {
        if (spec.patterns.includes('user.*')) refuse();
        return broker.subscribe(spec, consumer);
      },
      status: () => broker.status(),
      close: () => broker.close(),
    };
    service = await createEventService(
      { appName: 'shop', transport, pendingEmits: { inFlight, waiting: 1 }, publishTimeout: 500 },
      silentLogger,
    );
  };
  beforeEach(() => (throwing = true));
  afterEach(() => service.drain());

  it('at a publish fails that emit, and none after it', async () => {
    await start(2);
    for (let number = 0; number < 5; number++) {
      await expect(service.emit('user.created', number)).rejects.toThrow('not now');
    }
    throwing = false;
    expect(await service.emit('user.created', 5)).toMatchObject({ duplicate: false });
  });

  it('at a publish that had to wait fails that emit, and none after it', async () => {
    await start(1);
    throwing = false;
    const first = service.emit('user.created', 1);
    const second = service.emit('user.created', 2);
    throwing = true;
    await first;
    await expect(second).rejects.toThrow('not now');
    throwing = false;
    expect(await service.emit('user.created', 3)).toMatchObject({ duplicate: false });
  });

  it.each([['user.*'], ['user.*', 'user.created.late']])(
    'at a subscribe to %j leaves nothing of it: it can be tried again',
    async (...patterns) => {
      await start(1);
      const definition = { name: 'Mail.send', patterns, handler: () => undefined, options: {} };
      await expect(service.bind(definition)).rejects.toThrow('not now');
      expect(service.status.subscriptions).toEqual([]);
      throwing = false;
      expect((await service.bind(definition)).name).toBe('Mail.send');
    },
  );
});
