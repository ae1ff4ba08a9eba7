import { createEventService, type EventService, type EventTransport } from '@venta/events';
import type { TransportSubscription } from '../../lib/core/transport';
import { createMemoryTransport } from '../../lib/transports/memory';
import { silentLogger } from '../support/silent-logger';

type Subscribe = EventTransport['subscribe'];

async function serviceWith(
  subscribe: (inner: Subscribe) => (...args: Parameters<Subscribe>) => unknown,
): Promise<EventService> {
  const broker = createMemoryTransport({ clusterId: 'events', delivery: 'durable', logger: silentLogger });
  const transport: EventTransport = {
    connect: () => broker.connect(),
    publish: (message) => broker.publish(message),
    subscribe: subscribe((spec, consumer) => broker.subscribe(spec, consumer)) as Subscribe,
    status: () => broker.status(),
    close: () => broker.close(),
  };
  return createEventService({ appName: 'shop', transport }, silentLogger);
}

/** Not all that can be awaited is a promise, and not all of that keeps to the rules. */
describe('a transport that subscribes by something with a `then`', () => {
  it('may give nothing back from it', async () => {
    const service = await serviceWith((inner) => (...args) => ({
      then: (resolve: (value: unknown) => void) => {
        resolve(inner(...args));
      },
    }));
    const subscription = await service.subscribe('user.created', () => undefined);
    expect(subscription?.name).toBe('user.created');
    await service.drain();
  });

  it('may reject: then `subscribe` does, and nothing else', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', note);
    const service = await serviceWith(() => () => ({
      then: (_resolve: unknown, reject: (reason: unknown) => void) => {
        reject(new Error('refused'));
      },
    }));
    const outcome = await service
      .subscribe('user.created', () => undefined)
      .then(
        () => 'resolved',
        (error: Error) => error.message,
      );
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', note);
    expect({ outcome, unhandled }).toEqual({ outcome: 'refused', unhandled: [] });
    await service.drain();
  });

  it('may be late: `subscribe` waits until the broker knows the subscription', async () => {
    let ready = false;
    const service = await serviceWith((inner) => (...args) => ({
      then: (resolve: (value: unknown) => void) => {
        setImmediate(() => {
          ready = true;
          resolve(inner(...args));
        });
      },
    }));
    await service.subscribe('user.created', () => undefined);
    expect(ready).toBe(true);
    await service.drain();
  });

  it('may call back twice: the subscription is begun once', async () => {
    let starts = 0;
    const service = await serviceWith(() => () => ({
      then: (resolve: (value: unknown) => void) => {
        const made = { start: () => void starts++, limit: () => undefined, stop: async () => undefined };
        resolve(made);
        resolve(made);
        return Promise.resolve();
      },
    }));
    service.start();
    await service.subscribe('user.created', () => undefined);
    expect(starts).toBe(1);
    await service.drain();
  });

  it('may give a function that has one', async () => {
    const service = await serviceWith((inner) => (...args) => {
      const callable = (): void => undefined;
      (callable as unknown as { then: unknown }).then = (resolve: (value: unknown) => unknown) =>
        Promise.resolve(inner(...args)).then(resolve);
      return callable;
    });
    service.start();
    expect((await service.subscribe('user.created', () => undefined)).name).toBe('user.created');
    await service.drain();
  });
});

describe('a transport whose subscription throws at its start', () => {
  it.each(['at once', 'later'])('given %s, leaves nothing that runs and that nobody stops', async (when) => {
    const live = new Set<object>();
    const service = await serviceWith(() => () => {
      const made = {
        start: () => {
          throw new Error('cannot start');
        },
        limit: () => undefined,
        stop: async () => void live.delete(made),
      };
      live.add(made);
      return when === 'at once' ? made : Promise.resolve(made);
    });
    service.start();
    await expect(service.subscribe('user.created', () => undefined)).rejects.toThrow('cannot start');
    await service.drain();
    expect(live.size).toBe(0);
  });
});

describe('a transport whose subscription cannot be stopped either', () => {
  const unstarted = (stop: () => Promise<void>): TransportSubscription => ({
    start: () => {
      throw new Error('cannot start');
    },
    limit: () => undefined,
    stop,
  });

  it('has the reason told why it did not start', async () => {
    const service = await serviceWith(() => () => unstarted(() => Promise.reject(new Error('cannot stop'))));
    service.start();
    await expect(service.subscribe('user.created', () => undefined)).rejects.toThrow('cannot start');
    await service.drain();
  });

  it('keeps its identity until it has stopped: two of one identity would share its events', async () => {
    let stopped = (): void => undefined;
    const service = await serviceWith(
      () => () => unstarted(() => new Promise((resolve) => (stopped = resolve))),
    );
    service.start();
    const first = service.subscribe('user.created', () => undefined);
    await expect(service.subscribe('user.created', () => undefined)).rejects.toThrow(/two handlers/);
    stopped();
    await expect(first).rejects.toThrow('cannot start');
    const again = service.subscribe('user.created', () => undefined);
    stopped();
    await expect(again).rejects.toThrow('cannot start');
    await service.drain();
  });
});

describe('the patterns that a transport is given', () => {
  it('are its own: who bound the handler cannot change them afterwards', async () => {
    let given: readonly string[] = [];
    const service = await serviceWith((inner) => (spec, consumer) => {
      given = spec.patterns;
      return inner(spec, consumer);
    });
    const patterns = ['user.created', 'user.deleted'];
    await service.bind({ name: 'A', patterns, handler: () => undefined, options: {} });
    patterns.push('user.updated');
    expect(given).toEqual(['user.created', 'user.deleted']);
    await service.drain();
  });
});
