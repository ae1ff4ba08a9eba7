import { createEventService, type EventContext } from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { silentLogger } from '../support/silent-logger';

describe('handlers that time out at the same moment', () => {
  it('each emit in their abort listener what their own event has caused', async () => {
    const service = await createEventService(
      { appName: 'shop', url: 'memory://', handlerTimeout: 100, retry: { attempts: 0, delay: 1 } },
      silentLogger,
    );
    const cancelled = new Collector<unknown[]>('cancellations');
    await service.subscribe('order.cancelled', (cause: string, { causationId, correlationId }) => {
      cancelled.add([cause, causationId, correlationId]);
    });
    const untilAborted = ({ id, signal }: EventContext): Promise<void> =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve(service.emit('order.cancelled', id).then(() => {})));
      });
    for (const name of ['packing', 'billing']) {
      await service.subscribe('order.placed', (_: unknown, context) => untilAborted(context), {
        name,
        concurrency: 5,
      });
    }
    await service.emit('order.placed', 1, { id: 'one', correlationId: 'of one' });
    await service.emit('order.placed', 2, { id: 'two', correlationId: 'of two' });
    await cancelled.atLeast(4);
    await service.drain();
    expect([...cancelled.items].sort()).toEqual([
      ['one', 'one', 'of one'],
      ['one', 'one', 'of one'],
      ['two', 'two', 'of two'],
      ['two', 'two', 'of two'],
    ]);
  });
});
