import { createEventService, type EventService } from '@venta/events';
import type { HandlerDefinition } from '../../lib/core/handler-definition';
import { silentLogger } from '../support/silent-logger';

const LATE: HandlerDefinition = {
  name: 'Late',
  patterns: ['user.deleted'],
  handler: () => undefined,
  options: {},
};

describe.each([true, false])(
  'a service that stops while a definition is being made, consume: %s',
  (consume) => {
    let service: EventService;

    it('does not bind that handler any more', async () => {
      service = await createEventService({ appName: 'shop', url: 'memory://', consume }, silentLogger);
      let make = (_definition: HandlerDefinition): void => undefined;
      const binding = service.bindAll(['late'], () => new Promise((resolve) => (make = resolve)));
      const drained = service.drain();
      make(LATE);
      expect(await binding).toEqual([
        {
          item: 'late',
          reason: expect.objectContaining({
            code: 'closed',
            message: "cannot subscribe 'Late': the event service is draining or closed",
          }) as unknown,
        },
      ]);
      await drained;
      expect(service.status.subscriptions).toEqual([]);
    });
  },
);

describe('many handlers bound at once', () => {
  it('are bound but for those that cannot be, which are told in their order', async () => {
    const service = await createEventService({ appName: 'shop', url: 'memory://' }, silentLogger);
    const failed = await service.bindAll(['a', 'bad name', 'b', 'thrown', 'a'], (name) => {
      if (name === 'thrown') throw new Error('no definition');
      return { ...LATE, name, patterns: [name] };
    });
    expect(failed.map(({ item, reason }) => [item, (reason as Error).message.slice(0, 16)])).toEqual([
      ['bad name', "handler 'bad nam"],
      ['thrown', 'no definition'],
      ['a', 'two handlers hav'],
    ]);
    expect(service.status.subscriptions.map(({ name }) => name)).toEqual(['a', 'b']);
    await service.drain();
  });
});
