import {
  createEventService,
  type EventMiddleware,
  type EventsError,
  type OutboundEvent,
} from '@venta/events';
import { Collector, eventually } from '../../lib/testing/conformance/collector';
import { silentLogger } from '../support/silent-logger';

describe('a consume middleware that returns no promise', () => {
  it('lets the event through, which counts as handled', async () => {
    const careless = {
      consume: (_: unknown, next: () => Promise<unknown>) => {
        void next();
      },
    } as unknown as EventMiddleware;
    const service = await createEventService(
      { appName: 'shop', url: 'memory://', middleware: [careless], retry: { attempts: 0, delay: 1 } },
      silentLogger,
    );
    const handled = new Collector<unknown>('handled events');
    await service.subscribe('user.created', (data: unknown) => handled.add(data));
    await service.emit('user.created', 1);
    await handled.atLeast(1);
    const status = await eventually(
      async () => service.status.subscriptions[0],
      (subscription) => (subscription?.succeeded ?? 0) + (subscription?.deadLettered ?? 0) > 0,
      () => 'the event was not settled',
    );
    await service.drain();
    expect(status).toMatchObject({ succeeded: 1, deadLettered: 0 });
    expect(handled.items).toEqual([1]);
  });
});

describe('a publish middleware that is not async', () => {
  it('is given a rejection, not an exception, when the event is refused behind it', async () => {
    const seen: string[] = [];
    const watching: EventMiddleware = {
      publish: (event, next) =>
        next()
          .catch((error: unknown) => {
            seen.push(`${event.name}: ${(error as EventsError).code}`);
            throw error;
          })
          .finally(() => seen.push('ended')),
    };
    const service = await createEventService(
      { appName: 'shop', url: 'memory://', middleware: [watching] },
      silentLogger,
    );
    await expect(service.emit('user.created', 1n)).rejects.toMatchObject({ code: 'unserializable' });
    await service.drain();
    expect(seen).toEqual(['user.created: unserializable', 'ended']);
  });
});

describe('a publish middleware that spoils the time of an event', () => {
  it.each([
    ['an invalid Date', (event: OutboundEvent) => void event.time.setTime(Number.NaN)],
    ['text', (event: OutboundEvent) => void Object.assign(event, { time: 'now' })],
    ['nothing', (event: OutboundEvent) => void Object.assign(event, { time: undefined })],
  ])('is told so: %s', async (_, spoil) => {
    const spoiling: EventMiddleware = {
      publish: (event, next) => {
        spoil(event);
        return next();
      },
    };
    const service = await createEventService(
      { appName: 'shop', url: 'memory://', middleware: [spoiling] },
      silentLogger,
    );
    await expect(service.emit('user.created', 1)).rejects.toMatchObject({
      code: 'invalid_header',
      message: '`time` of the event must be a valid Date',
    });
    await service.drain();
  });
});
